# Copyright 2026 Gentoo Authors
# Distributed under the terms of the GNU General Public License v2

EAPI=8

RUST_MIN_VER="1.88.0"

inherit cargo git-r3

DESCRIPTION="Portage fetch command: distfiles from the best of many mirrors, verified and resumed"
# A clone of the repository that this ebuild came with; docs/install.md says how to lay it there.
EGIT_REPO_URI="file:///usr/local/src/racefetch"

LICENSE="|| ( Apache-2.0 MIT )"
# Dependent crate licenses
LICENSE+=" Apache-2.0 BSD ISC MIT Unicode-3.0"
SLOT="0"

RDEPEND="
	acct-group/portage
	acct-user/portage
	app-misc/ca-certificates
"

src_unpack() {
	git-r3_src_unpack
	cargo_live_src_unpack
}

src_test() {
	# The other tests install Portage from PyPI, and the network is closed here.
	cargo_src_test --lib
}

src_install() {
	cargo_src_install
	einstalldocs

	insinto /usr/share/racefetch
	doins portage/make.conf

	# Root and, with FEATURES=userfetch, the user portage both keep their figures here.
	keepdir /var/lib/racefetch
	fowners root:portage /var/lib/racefetch
	fperms 2775 /var/lib/racefetch
}

pkg_postinst() {
	elog "To have Portage fetch with racefetch, add this line to ${EROOT}/etc/portage/make.conf,"
	elog "below GENTOO_MIRRORS:"
	elog
	elog "    source ${EPREFIX}/usr/share/racefetch/make.conf"
}
