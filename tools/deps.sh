#!/bin/sh
# tools/deps.sh [build] [test] [model]: installs what is missing on Debian 12 (or a system with its package
# names), and nothing else. Without arguments: build. Uses sudo only if needed and only if something is missing.
set -eu
[ $# -gt 0 ] || set -- build
want=""
for group in "$@"; do
    case $group in
        build) want="$want gcc make pkg-config libc6-dev libyaml-dev libjansson-dev libsqlite3-dev libpcre2-dev
                     libutf8proc-dev libsodium-dev libcairo2-dev libpng-dev zlib1g-dev libpango1.0-dev libxlsxwriter-dev"
               # figures need one font that has Hangul; any will do
               [ -n "$(fc-list :lang=ko 2>/dev/null | head -n 1)" ] || want="$want fonts-nanum";;
        test)  want="$want libcmocka-dev";;
        model) # a Python that has pip, to fetch the demonstration's model; never needed by the program
               python3 -m pip --version >/dev/null 2>&1 || want="$want python3 python3-pip ca-certificates";;
        *) echo "tools/deps.sh: unknown group '$group'; there are build, test and model" >&2; exit 2;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "tools/deps.sh: this system has no dpkg. Install these yourself (names as in Debian 12):" $want >&2
    pkg-config --exists yaml-0.1 jansson sqlite3 libpcre2-8 libutf8proc libsodium cairo pangocairo xlsxwriter 2>/dev/null || exit 5
    echo "tools/deps.sh: pkg-config finds the libraries: going on." >&2
    exit 0
fi
missing=""
for package in $want; do
    case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true) in
        ii*) ;;
        *) # a compiler or make from elsewhere will do
           case $package in gcc|make|pkg-config) command -v "$package" >/dev/null 2>&1 && continue;; esac
           missing="$missing $package";;
    esac
done
[ -n "$missing" ] || exit 0

echo "Installing:$missing"
sudo=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "tools/deps.sh: packages are missing and this user is not root. Ask your administrator to run:" >&2
        echo "    apt-get install --no-install-recommends$missing" >&2
        exit 5
    fi
    sudo="sudo"
fi
export DEBIAN_FRONTEND=noninteractive
install() { $sudo apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists of a fresh system are empty, those of an old one outdated: refresh them, then install.
if ! { $sudo apt-get update -q >"$log" 2>&1 && install; } && ! install; then
    tail -n 15 "$log" >&2
    echo "tools/deps.sh: apt-get could not install:$missing" >&2
    echo "Is there a network, or a mirror in /etc/apt/sources.list? Once they are installed nothing more is fetched." >&2
    exit 5
fi
