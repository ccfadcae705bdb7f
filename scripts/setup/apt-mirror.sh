# shellcheck shell=bash disable=SC2034 # what one part sets, another reads
# Which Debian mirror this machine can reach, and with which settings: read from apt's own configuration, so that
# whatever lets apt work here (a mirror, a proxy, a certificate, a clock) lets the images be built too.

APT_FOLDER=/etc/apt

# Prints one line for each enabled source of binary packages: uri, suite, keyring (or "-"); of both formats.
apt_sources() {
  # The one-line format: deb [signed-by=… arch=…] uri suite components…
  cat "$APT_FOLDER/sources.list" "$APT_FOLDER"/sources.list.d/*.list 2>/dev/null | awk '
    $1 == "deb" {
      key = "-"; at = 2
      if ($2 ~ /^\[/) {
        for (; at <= NF; at++) {
          option = $at; gsub(/[\[\]]/, "", option)
          if (tolower(option) ~ /^signed-by=/) { key = substr(option, 11) }
          if ($at ~ /\]$/) { at++; break }
        }
      }
      print $at, $(at + 1), key
    }'
  # The deb822 format: stanzas of fields, several URIs and suites in each; a key may be written out in the stanza.
  cat /dev/null "$APT_FOLDER"/sources.list.d/*.sources 2>/dev/null | awk '
    function flush(  i, j, n, m, u, s) {
      if (types ~ /(^| )deb( |$)/ && tolower(enabled) != "no" && tolower(enabled) != "false") {
        n = split(uris, u, " "); m = split(suites, s, " ")
        for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print u[i], s[j], (key ~ /^\//) ? key : "-"
      }
      types = uris = suites = key = enabled = field = ""
    }
    /^[ \t]*$/ { flush(); next }
    /^#/ { next }
    /^[ \t]/ { value = $0 }
    /^[^ \t:]+:/ { field = tolower(substr($0, 1, index($0, ":") - 1)); value = substr($0, index($0, ":") + 1) }
    {
      gsub(/[ \t]+/, " ", value); sub(/^ /, "", value); sub(/ $/, "", value)
      if (field == "types") types = types " " value
      if (field == "uris") uris = uris " " value
      if (field == "suites") suites = suites " " value
      if (field == "signed-by" && key == "") key = value
      if (field == "enabled") enabled = value
    }
    END { flush() }'
}

# plain_uri <uri>: an address that debootstrap can use. Cloud images name a file with a list of mirrors.
plain_uri() {
  local uri=$1
  case $uri in
    mirror+file:*) uri=$(awk '/^https?:/ { print $1; exit }' "${uri#mirror+file:}" 2>/dev/null) ;;
    mirror+http*) uri=${uri#mirror+} ;;
  esac
  [[ $uri == http* ]] && echo "${uri%/}"
}

# apt_has <uri> <suite>: whether apt, with its own settings, gets that suite from there.
apt_has() {
  local file status=0
  file=$(mktemp)
  timeout 25 /usr/lib/apt/apt-helper -o Acquire::http::Timeout=8 -o Acquire::https::Timeout=8 -o Acquire::Retries=0 \
    download-file "$1/dists/$2/InRelease" "$file" >/dev/null 2>&1 || status=1
  [[ -s $file ]] || status=1
  rm -f "$file"
  return "$status"
}

# find_debian_mirror <suite>: sets MIRROR, MIRROR_KEYRING (or "") and MIRROR_SECURITY (or ""). The machine's own sources
# come first; an Ubuntu machine's mirror often has Debian beside Ubuntu; debootstrap's own default is tried last.
find_debian_mirror() {
  local suite=$1 uri named key candidate seen=' '
  local candidates=() keys=() securities=()
  while read -r uri named key; do
    uri=$(plain_uri "$uri") || continue
    [[ $key == - ]] && key=''
    if [[ $named == *security* || $uri == *security* ]]; then
      securities+=("$uri")
      continue
    fi
    for candidate in "$uri" "${uri/%\/ubuntu/\/debian}"; do
      if [[ $seen != *" $candidate "* ]]; then
        seen+="$candidate "
        candidates+=("$candidate")
        keys+=("$key")
      fi
    done
  done < <(apt_sources)
  # Last the mirror that debootstrap itself would take.
  uri=$(sed -n 's/^[A-Z_]*MIRROR="\{0,1\}\(http[^"]*\)"\{0,1\}$/\1/p' /usr/sbin/debootstrap 2>/dev/null | head -n 1)
  if [[ -n $uri && $seen != *" ${uri%/} "* ]]; then
    candidates+=("${uri%/}")
    keys+=('')
  fi
  MIRROR='' MIRROR_KEYRING='' MIRROR_SECURITY='' MIRRORS_TRIED=''
  local i
  for i in "${!candidates[@]}"; do
    MIRRORS_TRIED+="${candidates[i]} "
    if apt_has "${candidates[i]}" "$suite"; then
      MIRROR=${candidates[i]}
      MIRROR_KEYRING=${keys[i]}
      break
    fi
  done
  [[ -n $MIRROR ]] || return 1
  for uri in "${securities[@]}" "${MIRROR%/debian}/debian-security"; do
    if apt_has "$uri" "$suite-security"; then
      MIRROR_SECURITY=$uri
      break
    fi
  done
}

# What the machine's apt was told about reaching its sources: proxies, certificates, clocks. As lines of apt's own
# configuration; package hooks and the like are not among them.
apt_transport_settings() {
  LC_ALL=C apt-config dump 2>/dev/null |
    grep -iE '^Acquire::((http|https)::|Check-Valid-Until|Check-Date|Max-FutureTime|ForceIPv)' |
    grep -viE '::(User-Agent|Proxy-Auto-Detect|ProxyAutoDetect)|"";$' || true
}

# apt_setting <name>: the value of one setting, such as Acquire::http::Proxy.
apt_setting() {
  local value=''
  eval "$(apt-config shell value "$1" 2>/dev/null)"
  echo "$value"
}

# binary_keyring <file>: a keyring in the form that gpgv takes, whichever form the file has.
binary_keyring() {
  if grep -aq 'BEGIN PGP PUBLIC KEY BLOCK' "$1"; then
    awk '
      /BEGIN PGP PUBLIC KEY BLOCK/ { inside = 1; body = 0; next }
      /END PGP PUBLIC KEY BLOCK/ { inside = 0 }
      inside && /^[ \t\r]*$/ { body = 1; next }
      inside && body && !/^=/ { print }' "$1" | base64 -d
  else
    cat "$1"
  fi
}
