# Takes the place of Gentoo's eclass in the laboratory: copies what is installed beside the program from
# LAB_SOURCES, which make.conf has set.

git-r3_src_unpack() {
	mkdir "${S}" && cd "${S}" || die
	cp -r "${LAB_SOURCES}"/{ansible,completions,man,mirror,monitoring,portage,README.md,CHANGELOG.md} . || die
}
