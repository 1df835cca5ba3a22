# Copyright 2026 Gentoo Authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

# CRATES and LICENSE are pycargoebuild's.
CRATES="
	anstyle@1.0.14
	arrayvec@0.7.8
	asn1-rs-derive@0.6.0
	asn1-rs-impl@0.2.0
	asn1-rs@0.7.2
	autocfg@1.5.1
	base64@0.23.1
	bit-vec@0.9.1
	bitflags@2.13.2
	blake2@0.11.0
	block-buffer@0.12.1
	bumpalo@3.20.4
	bytes@1.12.2
	cc@1.11.3
	cfg-if@1.0.5
	chacha20@0.10.2
	clap@4.6.9
	clap_builder@4.6.7
	clap_complete@4.6.11
	clap_derive@4.6.9
	clap_lex@1.1.2
	cmov@0.5.4
	combine@4.6.9
	console@0.16.6
	const-oid@0.10.3
	core-foundation-sys@0.8.7
	core-foundation@0.10.1
	core_detect@1.0.0
	cpufeatures@0.3.1
	crypto-common@0.2.2
	ctutils@0.4.8
	data-encoding@2.11.1
	der-parser@10.0.0
	deranged@0.5.9
	digest@0.11.3
	displaydoc@0.2.7
	encode_unicode@1.0.0
	errno@0.3.15
	fastrand@2.5.0
	find-msvc-tools@0.1.15
	fs2@0.4.3
	futures-core@0.3.34
	futures-task@0.3.34
	futures-util@0.3.34
	getrandom@0.2.17
	getrandom@0.4.3
	heck@0.5.0
	http@1.5.0
	httparse@1.10.1
	httpdate@1.0.3
	hybrid-array@0.4.15
	indicatif@0.18.6
	itoa@1.0.19
	jni-macros@0.22.4
	jni-sys-macros@0.4.1
	jni-sys@0.4.1
	jni@0.22.4
	js-sys@0.3.107
	keccak@0.2.2
	lazy_static@1.5.1
	libc@0.2.191
	linux-raw-sys@0.12.1
	log@0.4.35
	md-5@0.11.0
	memchr@2.8.3
	minimal-lexical@0.2.1
	nom@7.1.3
	num-bigint@0.4.8
	num-conv@0.2.2
	num-integer@0.1.47
	num-traits@0.2.19
	oid-registry@0.8.1
	once_cell@1.21.4
	openssl-probe@0.2.2
	pem@4.0.0
	percent-encoding@2.3.2
	pin-project-lite@0.2.18
	portable-atomic@1.15.0
	powerfmt@0.2.1
	proc-macro2@1.0.107
	proptest@1.12.0
	pulldown-cmark@0.13.6
	quick-xml@0.42.0
	quote@1.0.47
	r-efi@6.0.0
	rand@0.10.4
	rand_core@0.10.1
	rand_xorshift@0.5.0
	rcgen@0.14.10
	regex-syntax@0.8.12
	ring@0.17.14
	ripemd@0.2.0
	rustc_version@0.4.1
	rusticata-macros@4.1.0
	rustix@1.1.6
	rustls-native-certs@0.8.5
	rustls-pki-types@1.16.0
	rustls-platform-verifier-android@0.2.0
	rustls-platform-verifier@0.7.1
	rustls-webpki@0.103.17
	rustls@0.23.46
	rustversion@1.0.23
	same-file@1.0.6
	schannel@0.1.30
	security-framework-sys@2.17.0
	security-framework@3.7.0
	semver@1.0.28
	serde@1.0.229
	serde_core@1.0.229
	serde_derive@1.0.229
	serde_json@1.0.154
	sha1@0.11.0
	sha2@0.11.1
	sha3@0.12.0
	shlex@2.0.1
	signal-hook-registry@1.4.8
	signal-hook@0.4.6
	simd_cesu8@1.2.0
	simdutf8@0.1.5
	slab@0.4.12
	socket2@0.6.5
	sponge-cursor@0.1.0
	strsim@0.11.1
	subtle@2.6.1
	syn@2.0.119
	syn@3.0.10
	synstructure@0.13.2
	tempfile@3.27.0
	thiserror-impl@2.0.21
	thiserror@2.0.21
	time-core@0.1.9
	time-macros@0.2.32
	time@0.3.55
	typenum@1.20.1
	unarray@0.1.4
	unicase@2.10.0
	unicode-ident@1.0.27
	unicode-width@0.2.3
	unit-prefix@0.5.2
	untrusted@0.9.0
	ureq-proto@0.7.1
	ureq@3.5.2
	utf8-zero@0.8.1
	vt100@0.16.2
	vte@0.15.0
	walkdir@2.5.0
	wasi@0.11.1+wasi-snapshot-preview1
	wasm-bindgen-macro-support@0.2.130
	wasm-bindgen-macro@0.2.130
	wasm-bindgen-shared@0.2.130
	wasm-bindgen@0.2.130
	web-time@1.1.0
	webpki-root-certs@1.0.11
	whirlpool@0.11.0
	winapi-i686-pc-windows-gnu@0.4.0
	winapi-util@0.1.11
	winapi-x86_64-pc-windows-gnu@0.4.0
	winapi@0.3.9
	windows-link@0.2.1
	windows-sys@0.52.0
	windows-sys@0.61.2
	windows-targets@0.52.6
	windows_aarch64_gnullvm@0.52.6
	windows_aarch64_msvc@0.52.6
	windows_i686_gnu@0.52.6
	windows_i686_gnullvm@0.52.6
	windows_i686_msvc@0.52.6
	windows_x86_64_gnu@0.52.6
	windows_x86_64_gnullvm@0.52.6
	windows_x86_64_msvc@0.52.6
	x509-parser@0.18.1
	yasna@0.6.0
	zeroize@1.9.2
	zmij@1.0.23
"

RUST_MIN_VER="1.88.0"

inherit cargo shell-completion systemd

DESCRIPTION="Portage fetch command: distfiles from the best of many mirrors, verified and resumed"
# A placeholder until the project has a home. Cargo.toml has the same.
HOMEPAGE="https://racefetch.example/"
if [[ ${PV} == 9999 ]]; then
	inherit git-r3
	# A clone of the repository that this ebuild came with; docs/install.md says how to lay it there.
	EGIT_REPO_URI="file:///usr/local/src/racefetch"
else
	SRC_URI="
		https://racefetch.example/${P}.tar.xz
		${CARGO_CRATE_URIS}
	"
	KEYWORDS="~amd64"
fi

LICENSE="|| ( Apache-2.0 MIT )"
# Dependent crate licenses
LICENSE+=" Apache-2.0 BSD CDLA-Permissive-2.0 ISC MIT Unicode-3.0"
SLOT="0"

RDEPEND="
	acct-group/portage
	acct-user/portage
	app-misc/ca-certificates
"

# Rust does not look at LDFLAGS as this check has it.
QA_FLAGS_IGNORED="usr/bin/racefetch"

src_unpack() {
	if [[ ${PV} == 9999 ]]; then
		git-r3_src_unpack
		cargo_live_src_unpack
	else
		cargo_src_unpack
	fi
}

src_test() {
	# The other tests install Portage from PyPI, and the network is closed here.
	cargo_src_test --lib
}

src_install() {
	cargo_src_install
	einstalldocs

	doman man/*
	newbashcomp completions/racefetch racefetch
	dozshcomp completions/_racefetch
	dofishcomp completions/racefetch.fish

	insinto /usr/share/racefetch
	doins -r portage/make.conf ansible mirror monitoring
	local program
	for program in mirror/bin/*; do
		fperms 0755 "/usr/share/racefetch/${program}"
		dosym -r "/usr/share/racefetch/${program}" "/usr/bin/${program##*/}"
	done
	# A mirror of one's own: nothing of it runs before racefetch-mirror-setup, which makes its user, and its folders.
	systemd_dounit {mirror,monitoring}/systemd/*.{service,timer}
	newinitd mirror/openrc/racefetch-mirror.initd racefetch-mirror

	# Root and, with FEATURES=userfetch, the user portage both keep their figures here.
	keepdir /var/lib/racefetch
	fowners root:portage /var/lib/racefetch
	fperms 2775 /var/lib/racefetch
}

pkg_postinst() {
	elog "To have Portage fetch with racefetch: racefetch setup"
	elog "or add this line to ${EROOT}/etc/portage/make.conf, below GENTOO_MIRRORS:"
	elog
	elog "    source ${EPREFIX}/usr/share/racefetch/make.conf"
}
