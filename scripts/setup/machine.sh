# shellcheck shell=bash disable=SC2034 # what one part sets, another reads
# What set-up may do to the machine: ask, become root, install packages, download. Sourced by setup.sh.

APT_UPDATED=''

has() { command -v "$1" >/dev/null 2>&1; }

# A directory or file that is removed when set-up ends, however it ends.
TEMPORARY=()
temporary() { TEMPORARY+=("$1"); }

# permit <sentence> <what to run by hand instead>: asks before the machine is changed outside the project's own files.
# --yes and CI answer yes; so does the lack of a terminal, where nobody could answer and the call itself was the wish.
permit() {
  local answer='' instead="run as root: $2"
  if [[ -n $NO_INSTALL ]]; then
    fail "not allowed: $1." '--no-install was given.' "$instead"
  fi
  if [[ -n $ASSUME_YES || ! -t 0 || ! -t 2 ]]; then
    note "allowed: $1"
    return 0
  fi
  clear_line
  printf '? %s? [Y/n] ' "$1" >&2
  read -r answer || answer=n
  case ${answer,,} in
    '' | y | yes) note "allowed by the user: $1" ;;
    *) fail "not allowed: $1." 'the answer was no.' "$instead" ;;
  esac
}

# Whether this user is root or may become it. A password can only be asked for on a terminal.
may_be_root() {
  ((EUID == 0)) && return 0
  has sudo || return 1
  sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]
}

# need_root <what for> [what root could run instead]: fails where root can't be had; asks for the password now, while
# we are in the foreground.
need_root() {
  ((EUID == 0)) && return 0
  if ! has sudo; then
    fail "$1 needs root." "this is user $(id -un), and there is no sudo." "as root: ${2:-start the same command}"
  fi
  if ! sudo -n true 2>/dev/null; then
    clear_line
    if ! [[ -t 0 ]] || ! sudo -v; then
      fail "$1 needs root." "sudo gave user $(id -un) no permission." "as root: ${2:-start the same command}"
    fi
  fi
}

as_root() { if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi; }

is_debian_like() { has apt-get && has dpkg; }

# The distribution's name for sentences, such as "Debian GNU/Linux 12 (bookworm)".
distribution() {
  local name=''
  # shellcheck source=/dev/null
  [[ -r /etc/os-release ]] && name=$(. /etc/os-release && echo "${PRETTY_NAME:-}")
  echo "${name:-this system}"
}

# Whether apt could install a package (with the lists that it has).
apt_knows() {
  local candidate
  candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
  [[ -n $candidate && $candidate != '(none)' ]]
}

# Fetches apt's package lists once a set-up. A third-party source that is broken is no reason to stop: what is missing
# then shows when the package is installed.
apt_update() {
  [[ -n $APT_UPDATED ]] && return 0
  APT_UPDATED=yes
  work 'fetching the package lists' as_root apt-get -o Acquire::Retries=2 update || true
}

# apt_install <package…>
apt_install() {
  need_root "installing $*" "apt-get install $*"
  apt_update
  WORK_FINISHES=yes
  if ! work "installing $* from $(distribution)" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 install "$@"; then
    fail "the packages $* could not be installed." "$(last_words)" \
      "mend apt ('apt-get update && apt-get install $*' shows the same error)"
  fi
}

# download <url> <file> <seconds to connect>: with whatever is there, quickly giving up where nobody answers. curl and
# wget come first because they know the machine's proxy settings.
download() {
  local url=$1 file=$2 connect=$3
  if has curl; then
    curl -fsSL --connect-timeout "$connect" --speed-limit 1000 --speed-time 30 -o "$file" "$url"
  elif has wget; then
    wget -q --connect-timeout="$connect" --dns-timeout="$connect" --read-timeout=30 --tries=1 -O "$file" "$url"
  else
    node "$SETUP_DIR/download.js" "$url" "$file" "$connect"
  fi
}

# The machine's architecture as Go, Debian and Temporal all call it.
architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) uname -m ;;
  esac
}
