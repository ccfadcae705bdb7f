-- The waiting room: where a request waits while no engine takes orders.
--
-- HAProxy answers 503 at once when a backend has no server that is up. Between the death of an engine and the moment when
-- the other one holds the lock (two seconds at most) that would fail every request. The waiting room is the backend's last
-- server: it answers a request that it must be tried again ("503", which HAProxy retries by itself) as soon as an engine
-- is ready, or after HOP_MS, so that no timeout of the outer side strikes. Whoever is older than LIMIT_MS gets an answer
-- that is not retried, also while an engine is ready: an engine that says ready and lets orders hang would be tried for ever.
-- Each try that runs into its timeout marks its engine down and so leads through here.
--
-- It also is the dead-man switch of a drain. A runbook drains the active engine for the moment of a hand-over; if the
-- runbook dies there, requests would wait although an engine is ready. So a request that has waited DRAIN_LIMIT_MS while
-- a drained engine is ready puts that engine back. So it does with one whose weight somebody set to 0, which is as good as drained, and
-- it has engines checked again that nobody checks: what is down without checks is down for ever.

local BACKEND = "veloz_engines"
local FRONTEND = "waiting_room"
-- How often the engines are looked at, and a waiting request wakes up. Many wake up more rarely: 20 000 times a second in
-- all, whatever comes.
local POLL_MS = 15
local WAKES_PER_MS = 20
local HOP_MS = 1000
local LIMIT_MS = tonumber(os.getenv("VELOZ_HAPROXY_WAIT_MS") or "") or 10000
local DRAIN_LIMIT_MS = tonumber(os.getenv("VELOZ_HAPROXY_DRAIN_LIMIT_MS") or "") or 2000

-- HAProxy's own clock: it begins at the wall clock's time and never steps.
local function now_ms()
    local t = core.now()
    return t.sec * 1000 + t.usec // 1000
end

-- When a request came, for the frontend: only times of one clock can be compared.
core.register_fetches("now_ms", function(txn)
    return now_ms()
end)

-- How often each request was here, by its id: whoever was tried more often than that was at an engine, and what became of
-- it there is not known. Two generations, each kept for longer than a request can take.
local KEEP_MS = 2 * LIMIT_MS + 60000
local visits, earlier, turned_at = {}, {}, now_ms()

local function visit(id, at)
    if at - turned_at > KEEP_MS or at < turned_at then
        visits, earlier, turned_at = {}, visits, at
    end
    local count = (visits[id] or earlier[id] or 0) + 1
    visits[id] = count
    return count
end

-- What is known of the engines; looked at once for all that wait.
local seen = { at = 0, ready = false, drained = {}, unchecked = {}, waiting = 0 }

local function look()
    local at = now_ms()
    if at - seen.at < POLL_MS and at >= seen.at then return seen end
    local ready, drained, unchecked = false, {}, {}
    for name, server in pairs(core.backends[BACKEND].servers) do
        if name ~= "waiting-room" then
            local stats = server:get_stats()
            -- One that is up and has no weight gets no request, whatever its status says.
            local idle = stats.status:match("^DRAIN") or tonumber(stats.weight) == 0
            if stats.status:match("^UP") and not idle then ready = true end
            if idle and stats.check_status == "L7OK" then drained[#drained + 1] = server end
            if stats.status:match("^DOWN") and (stats.check_status or "") == "" then unchecked[#unchecked + 1] = server end
        end
    end
    local waiting = tonumber(core.frontends[FRONTEND]:get_stats().scur) or 0
    seen = { at = at, ready = ready, drained = drained, unchecked = unchecked, waiting = waiting }
    return seen
end

local function header(applet, name)
    local values = applet.headers[name]
    return values and values[0] or nil
end

core.register_service("waiting_room", "http", function(applet)
    local started = now_ms()
    local since = tonumber(header(applet, "x-veloz-since") or "") or started
    local count = visit(header(applet, "x-request-id") or "", started)
    local status = 503
    while true do
        local at = now_ms()
        if at - since >= LIMIT_MS then
            status = 500
            break
        end
        local engines = look()
        if engines.ready then break end
        if at - since >= DRAIN_LIMIT_MS then
            for _, server in ipairs(engines.drained) do
                server:set_ready()
                server:set_weight("100%")
                core.log(core.warning, "no engine took requests for " .. DRAIN_LIMIT_MS .. " ms while " ..
                    server:get_name() .. " was drained: it takes them again")
            end
            for _, server in ipairs(engines.unchecked) do
                server:check_enable()
                core.log(core.warning, "no engine took requests for " .. DRAIN_LIMIT_MS .. " ms while " ..
                    server:get_name() .. " was not checked: it is checked again")
            end
        end
        if at - started >= HOP_MS then break end
        core.msleep(math.max(POLL_MS, engines.waiting // WAKES_PER_MS))
    end
    applet:set_status(status)
    applet:add_header("content-length", "0")
    applet:add_header("x-veloz-waited", tostring(now_ms() - since))
    applet:add_header("x-veloz-visits", tostring(count))
    applet:start_response()
end)
