# shellcheck shell=bash disable=SC2154 # top and work are set by whoever sources it
# Shared by tests/airgap, tests/killed-install and tests/reproducible: a minbase tree, a bundle of the
# checked-out commit, the key that signed it. Sourced, with $top and $work set.

say() { printf '%s\n' "$*" >&2; }

# minbase_tree ROOT: what debootstrap --variant=minbase makes; SG_MINBASE_TAR names a kept tarball of
# such a tree (made when it does not exist).
minbase_tree() {
	local tar=${SG_MINBASE_TAR:-}
	mkdir -m 755 "$1"
	if [ -n "$tar" ] && [ -f "$tar" ]; then
		tar -xpf "$tar" -C "$1"
	else
		debootstrap --variant=minbase bookworm "$1" >&2
		[ -z "$tar" ] || tar -cpf "$tar" -C "$1" .
	fi
	# Across the gap nothing is reached, and nothing tried.
	echo '127.0.0.1 localhost stargraph.local' >"$1/etc/hosts"
	: >"$1/etc/resolv.conf"
	rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/*proxy*
}

# make_key: sets $key, its home is $work/gnupg.
make_key() {
	mkdir -m 700 "$work/gnupg"
	gpg --homedir "$work/gnupg" --faked-system-time 20260101T000000! --batch --quiet --passphrase '' \
		--quick-generate-key 'release test' ed25519 sign never 2>/dev/null
	find_key
}

find_key() {
	key=$(gpg --homedir "$work/gnupg" --list-keys --with-colons 2>/dev/null | awk -F: '/^fpr/ { print $10; exit }')
	[ -n "$key" ]
}

# build_bundle CHECKOUT OUTPUT [FROM]: the commit in a clone at CHECKOUT, signed with $key.
build_bundle() {
	git clone -q "${3:-$top}" "$1"
	mkdir -p "$2"
	"$1/bundle/build" --key "$key" --gnupg-home "$work/gnupg" --output "$2" --models "${SG_MODELS:-$top/build/models}" \
		>"$2.log" 2>&1 || { tail -n 20 "$2.log" >&2; return 1; }
}

# take_bundle: $work/release-bundle and its key; those in SG_BUNDLE (tests/reproducible left them) where given.
take_bundle() {
	if [ -d "${SG_BUNDLE:-/nonexistent}/release-bundle" ]; then
		cp -a "$SG_BUNDLE/release-bundle" "$SG_BUNDLE/gnupg" "$work/"
		find_key
	else
		make_key
		build_bundle "$work/checkout" "$work"
	fi
	gpg --homedir "$work/gnupg" --quiet --export "$key" >"$work/release-key.gpg"
}

stop_gpg() { gpgconf --homedir "$work/gnupg" --kill all 2>/dev/null || true; }
