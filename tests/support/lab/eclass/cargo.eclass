# Takes the place of Gentoo's eclass in the laboratory: builds nothing, installs an empty program.

cargo_live_src_unpack() { :; }
cargo_src_unpack() { die "only the live ebuild is built here"; }
cargo_src_compile() { :; }

cargo_src_install() {
	>racefetch || die
	dobin racefetch
}

EXPORT_FUNCTIONS src_compile src_install
