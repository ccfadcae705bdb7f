-- The waiting room: where a request waits while no engine takes orders.
--
-- HAProxy answers 503 at once when a backend has no server that is up. Between the death of an engine and the moment when
-- the other one holds the lock (two seconds at most) that would fail every request. The waiting room is the backend's last
-- server: it answers a request that it must be tried again ("503", which HAProxy retries by itself) as soon as an engine
-- is ready, or after HOP_MS, so that no timeout of the outer side strikes. Whoever has waited LIMIT_MS in all gets an
-- answer that is not retried.
--
-- It also is the dead-man switch of a drain. A runbook drains the active engine for the moment of a hand-over; if the
-- runbook dies there, requests would wait although an engine is ready. So a request that has waited DRAIN_LIMIT_MS while
-- a drained engine is ready puts that engine back.

local BACKEND = "veloz_engines"
local FRONTEND = "waiting_room"
-- How often the engines are looked at, and a waiting request wakes up. Many wake up more rarely: 20 000 times a second in
-- all, whatever comes.
local POLL_MS = 15
local WAKES_PER_MS = 20
local HOP_MS = 1000
local LIMIT_MS = tonumber(os.getenv("VELOZ_HAPROXY_WAIT_MS") or "") or 10000
local DRAIN_LIMIT_MS = tonumber(os.getenv("VELOZ_HAPROXY_DRAIN_LIMIT_MS") or "") or 2000

local function now_ms()
    local t = core.now()
    return t.sec * 1000 + t.usec // 1000
end

-- What is known of the engines; looked at once for all that wait.
local seen = { at = 0, ready = false, drained = {}, waiting = 0 }

local function look()
    local at = now_ms()
    if at - seen.at < POLL_MS and at >= seen.at then return seen end
    local ready, drained = false, {}
    for name, server in pairs(core.backends[BACKEND].servers) do
        if name ~= "waiting-room" then
            local stats = server:get_stats()
            if stats.status:match("^UP") then ready = true end
            if stats.status:match("^DRAIN") and stats.check_status == "L7OK" then drained[#drained + 1] = server end
        end
    end
    local waiting = tonumber(core.frontends[FRONTEND]:get_stats().scur) or 0
    seen = { at = at, ready = ready, drained = drained, waiting = waiting }
    return seen
end

core.register_service("waiting_room", "http", function(applet)
    local started = now_ms()
    local since = tonumber(applet.headers["x-veloz-since"] and applet.headers["x-veloz-since"][0]) or started
    local status = 503
    while true do
        local engines = look()
        if engines.ready then break end
        local at = now_ms()
        if at - since >= DRAIN_LIMIT_MS then
            for _, server in ipairs(engines.drained) do
                server:set_ready()
                core.log(core.warning, "no engine took requests for " .. DRAIN_LIMIT_MS .. " ms while " ..
                    server:get_name() .. " was drained: it takes them again")
            end
        end
        if at - since >= LIMIT_MS then
            status = 500
            break
        end
        if at - started >= HOP_MS then break end
        core.msleep(math.max(POLL_MS, engines.waiting // WAKES_PER_MS))
    end
    applet:set_status(status)
    applet:add_header("content-length", "0")
    applet:add_header("x-veloz-waited", tostring(now_ms() - since))
    applet:start_response()
end)
