# Takes the place of Gentoo's eclass in the laboratory, with its folders.

newbashcomp() { insinto /usr/share/bash-completion/completions; newins "${1}" "${2}"; }
dozshcomp() { insinto /usr/share/zsh/site-functions; doins "${@}"; }
dofishcomp() { insinto /usr/share/fish/vendor_completions.d; doins "${@}"; }
