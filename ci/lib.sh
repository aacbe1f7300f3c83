# shellcheck shell=bash
# What the scripts in ci/ share: messages, and the installing of packages. Sourced.

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

as_root() {
	if ((EUID == 0)); then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "'$*' needs root, and there is no sudo here"
	fi
}

# Prints those of its arguments that are not installed. NAME means this machine's
# architecture, NAME:ARCH another.
missing_packages() {
	local package wanted native
	native=$(dpkg --print-architecture)
	for package in "$@"; do
		wanted=$native
		[[ $package != *:* ]] || wanted=${package##*:}
		# shellcheck disable=SC2016  # dpkg-query's own variables
		dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "${package%%:*}" 2>/dev/null |
			grep -Eqx "($wanted|all) installed" || printf '%s\n' "$package"
	done
}

apt_updated=no

# Fetches the package lists, once, with the architectures that are asked for.
apt_update_once() {
	local package arch new=no
	for package in "$@"; do
		[[ $package == *:* ]] || continue
		arch=${package##*:}
		if ! { dpkg --print-architecture; dpkg --print-foreign-architectures; } | grep -qx "$arch"; then
			note "dpkg --add-architecture $arch"
			as_root dpkg --add-architecture "$arch"
			new=yes
		fi
	done
	if [[ $apt_updated == no || $new == yes ]]; then
		note "apt-get update"
		as_root apt-get -o DPkg::Lock::Timeout=300 update -qq ||
			die "apt-get update failed: the package lists cannot be fetched"
		apt_updated=yes
	fi
}

apt_install() {
	# RUNLEVEL: no service of an installed package shall start.
	as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >"$apt_log" 2>&1
}

# need PACKAGE...: installs what is missing; fails if one cannot be had.
need() {
	local missing
	if ! command -v apt-get >/dev/null; then
		note "no apt-get here; these Debian packages, or what they hold, are taken to be installed: $*"
		return 0
	fi
	mapfile -t missing < <(missing_packages "$@")
	if ((${#missing[@]} == 0)); then
		note "installed already: $*"
		return 0
	fi
	apt_update_once "${missing[@]}"
	note "apt-get install ${missing[*]}"
	apt_log=$(mktemp)
	if ! apt_install "${missing[@]}"; then
		tail -n 20 "$apt_log" >&2
		rm -f "$apt_log"
		die "apt-get could not install: ${missing[*]}"
	fi
	rm -f "$apt_log"
}

# want WHY PACKAGE...: as need, one by one; a package that cannot be had is named
# with WHY it would have been good to have.
want() {
	local why=$1 package missing
	shift
	command -v apt-get >/dev/null || return 0
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]})) || return 0
	apt_update_once "${missing[@]}"
	note "apt-get install ${missing[*]}"
	apt_log=$(mktemp)
	if ! apt_install "${missing[@]}"; then
		# One of them is to blame: the others shall not suffer.
		for package in "${missing[@]}"; do
			apt_install "$package" || note "cannot be installed: $package ($why)"
		done
	fi
	rm -f "$apt_log"
}

# want_npm WHY PACKAGE@VERSION...: installs packages of npm in build/node, if there is npm; one that cannot
# be had is named with WHY it would have been good to have. No script of a package runs.
want_npm() {
	local why=$1 package log missing=()
	shift
	for package in "$@"; do
		[[ -d build/node/node_modules/${package%@*} ]] || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	if ! command -v npm >/dev/null; then
		note "no npm here for ${missing[*]} ($why)"
		return 0
	fi
	note "npm install ${missing[*]}"
	mkdir -p build/node
	log=$(mktemp)
	npm install --prefix build/node --ignore-scripts --no-audit --no-fund "${missing[@]}" >"$log" 2>&1 || {
		tail -n 3 "$log"
		note "cannot be installed: ${missing[*]} ($why)"
	}
	rm -f "$log"
}

# fetch_kernel_arm64 DIR: Debian's kernel for 64-bit Arm virtual machines, as DIR/vmlinuz, for
# qemu to boot. Unpacked, not installed. Without it tests are skipped, so a failure is only named.
fetch_kernel_arm64() {
	local dir=$1 package work
	if [[ -f $dir/vmlinuz ]]; then
		note "fetched already: $dir/vmlinuz"
		return 0
	fi
	command -v apt-get >/dev/null || return 0
	apt_update_once linux-image-cloud-arm64:arm64
	package=$(apt-cache depends linux-image-cloud-arm64:arm64 | awk '/Depends:/ { print $2; exit }')
	work=$(mktemp -d)
	chmod 755 "$work" # apt's own user downloads
	note "apt-get download ${package:-linux-image-cloud-arm64}"
	if [[ -n $package ]] && (cd "$work" && apt-get download -qq "$package" && dpkg -x ./*.deb root) >"$work/log" 2>&1; then
		mkdir -p "$dir"
		cp "$work"/root/boot/vmlinuz-* "$dir/vmlinuz"
	else
		note "cannot be had: a kernel for 64-bit Arm (the tests on a kernel of their own are then skipped)"
	fi
	rm -rf "$work"
}
