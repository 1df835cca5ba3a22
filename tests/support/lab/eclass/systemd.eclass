# Takes the place of Gentoo's eclass in the laboratory, with its folder.

systemd_dounit() { insinto /usr/lib/systemd/system; doins "${@}"; }
