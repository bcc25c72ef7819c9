#!/bin/sh
# A bare machine -> .venv with the locked dependencies, and the system libraries that WeasyPrint draws with.
#
# Needs Python 3.11 to 3.13 and a network (or pip's own configured mirror). Uses apt on Debian and Ubuntu when root or
# passwordless sudo is there; otherwise says exactly what to install and stops. PYTHON=/path/to/python picks one.
# `make` calls this when requirements.lock, pyproject.toml or this file changed; running it twice does no harm.
set -eu
cd "$(dirname "$0")"

say() { printf '%s\n' "set-up: $*" >&2; }
fail() { say "$1"; shift; for line in "$@"; do printf '  hint: %s\n' "$line" >&2; done; exit 1; }

linux_libraries="libgobject-2.0.so.0 libpango-1.0.so.0 libpangoft2-1.0.so.0 libharfbuzz.so.0 libfontconfig.so.1"
linux_packages="libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz0b libfontconfig1"
subset_library="libharfbuzz-subset.so.0" # optional: WeasyPrint falls back to fontTools, slower
subset_package="libharfbuzz-subset0"     # Debian 12, Ubuntu 23.04; before that the file came with libharfbuzz0b

# --- as root, quietly -------------------------------------------------------------------------------------------
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_apt() {
    have apt-get && { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }
}

apt_log=
apt_updated=
apt_quietly() {
    [ -n "$apt_log" ] || { apt_log=$(mktemp); trap 'rm -f "$apt_log"' EXIT; }
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$apt_log" 2>&1 </dev/null
}

apt_install() { # package ...
    if [ -z "$apt_updated" ]; then
        apt_quietly update || say "apt-get update failed; trying with the package lists as they are"
        apt_updated=yes
    fi
    say "apt-get install $*"
    apt_quietly install -y --no-install-recommends "$@" || { tail -n 5 "$apt_log" >&2; return 1; }
}

# --- Python -----------------------------------------------------------------------------------------------------
is_supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c "$is_supported" >/dev/null 2>&1; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
        [ -z "${PYTHON:-}" ] || break
    done
    found=$("${PYTHON:-python3}" --version 2>/dev/null || echo none)
    fail "Python 3.11, 3.12 or 3.13 is needed; found: $found" \
        "Debian and Ubuntu: sudo apt-get install python3 python3-venv; macOS: brew install python@3.13" \
        "if it lies somewhere else: make PYTHON=/path/to/python3.12 ..."
}

venv_works() { # its Python runs, is supported, and the folder has not been moved since
    [ -x .venv/bin/python ] &&
        .venv/bin/python -c "$is_supported" 2>/dev/null &&
        .venv/bin/python -m pip --version >/dev/null 2>&1 &&
        grep -qF "$(pwd -P)/.venv" .venv/bin/activate
}

make_venv() {
    python=$(find_python) || exit 1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then # Debian and Ubuntu ship these apart
        package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        can_apt && apt_install "$package" ||
            fail "$python has no venv module" \
                "sudo apt-get update && sudo apt-get install $package $linux_packages $subset_package" \
                "(all that is needed on Debian and Ubuntu; then the same command again, without sudo)"
    fi
    say "$("$python" --version) ($python) -> .venv"
    "$python" -m venv --clear .venv
}

# --- system libraries -------------------------------------------------------------------------------------------
# Asked of the loader, as WeasyPrint does, not of a package manager: a library from anywhere is as good.
missing_libraries() { # library file ... -> those that do not load
    .venv/bin/python - "$@" <<'END'
import ctypes
import sys

for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
END
}

libraries_linux() {
    missing=$(missing_libraries $linux_libraries)
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086 # a list of words
        can_apt && apt_install $linux_packages ||
            fail "WeasyPrint needs system libraries that are missing: $(echo $missing)" \
                "Debian, Ubuntu: sudo apt-get update && sudo apt-get install $linux_packages $subset_package" \
                "Fedora: sudo dnf install pango harfbuzz fontconfig; Arch: sudo pacman -S pango; then the same command again"
        missing=$(missing_libraries $linux_libraries)
        [ -z "$missing" ] || fail "still missing after the installation: $(echo $missing)" \
            "does the Python in .venv have this machine's architecture ($(uname -m))?"
    fi
    if [ -n "$(missing_libraries $subset_library)" ]; then
        { can_apt && apt_install "$subset_package"; } ||
            say "note: without $subset_package PDFs are made all the same, only slower"
    fi
}

libraries_macos() {
    have brew && PATH="$(brew --prefix)/bin:$PATH"
    export DYLD_FALLBACK_LIBRARY_PATH="/opt/homebrew/lib:/usr/local/lib:/usr/lib"
    libraries="libgobject-2.0.dylib libpango-1.0.dylib libpangoft2-1.0.dylib libharfbuzz.dylib libfontconfig.dylib"
    [ -z "$(missing_libraries $libraries)" ] && return
    have brew || fail "WeasyPrint needs Pango" "install Homebrew (https://brew.sh), then the same command again"
    say "brew install pango"
    brew install --quiet pango >&2 || fail "brew could not install Pango" "brew install pango"
    missing=$(missing_libraries $libraries)
    [ -z "$missing" ] || fail "still missing after the installation: $(echo $missing)" "brew reinstall pango"
}

# --- the steps --------------------------------------------------------------------------------------------------
venv_works || make_venv

case $(uname -s) in
Linux) libraries_linux ;;
Darwin) libraries_macos ;;
*) fail "$(uname -s) is not supported" "use Linux or macOS; on Windows: the Windows Subsystem for Linux" ;;
esac

say "installing the locked dependencies (the first time some minutes, about 700 MB to download)"
pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet "$@"; }
pip install --require-hashes -r requirements.lock ||
    fail "the locked dependencies could not be installed" \
        "is this Linux (x86_64, aarch64) or macOS (arm64), and is PyPI, or the mirror in your pip settings, reachable?"
pip install --no-deps --no-build-isolation --no-index --editable .
say "done"
