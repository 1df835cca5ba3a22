# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_racefetch_global_optspecs
    string join \n cacert= capath= E/cert= cert-type= compressed K/config= connect-timeout= C/continue-at= b/cookie= c/cookie-jar= create-dirs D/dump-header= f/fail fail-early fail-with-body follow H/header= h/help= k/insecure interface= 4/ipv4 6/ipv6 j/junk-session-cookies key= key-type= limit-rate= L/location location-trusted M/manual max-filesize= max-redirs= m/max-time= n/netrc netrc-file= netrc-optional noproxy= oauth2-bearer= o/output= output-dir= path-as-is #/progress-bar progress-meter proto= proto-default= proto-redir= x/proxy= proxy1.0= p/proxytunnel U/proxy-user= r/range= e/referer= J/remote-header-name O/remote-name remote-name-all R/remote-time remove-on-error X/request= resolve= retry= retry-all-errors retry-connrefused retry-delay= retry-max-time= S/show-error s/silent skip-existing socks4= socks4a= socks5= socks5-hostname= Y/speed-limit= y/speed-time= stderr= z/time-cond= tls-max= tlsv1.2 tlsv1.3 trace= url= u/user= A/user-agent= v/verbose V/version w/write-out= digests= look-ahead mirrors= parallel-mirrors= size= state= tier= timeline=
end

function __fish_racefetch_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_racefetch_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_racefetch_using_subcommand
    set -l cmd (__fish_racefetch_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c racefetch -n "__fish_racefetch_needs_command" -l cacert -d 'trust the CA certificates in this PEM file' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l capath -d 'trust the CA certificates in this folder' -r -f -a "(__fish_complete_directories)"
complete -c racefetch -n "__fish_racefetch_needs_command" -s E -l cert -d 'client certificate, PEM, without a passphrase' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l cert-type -d 'type of the client certificate: only PEM' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s K -l config -d 'read options from a file; - is stdin' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l connect-timeout -d 'time limit for connecting' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s C -l continue-at -d 'resume at an offset; - is the file\'s end' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s b -l cookie -d 'send a cookie, name=value, or those of a file' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -s c -l cookie-jar -d 'write the cookies to a file at the end; - is stdout' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -s D -l dump-header -d 'write the received header fields to a file' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -s H -l header -d '\'Name: value\', \'Name:\' to remove, \'Name;\' to send empty, @file' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s h -l help -d 'this text; all of it; or what one option does' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l interface -d 'connect from this device or address' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l key -d 'private key of the client certificate, PEM' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l key-type -d 'type of the private key: only PEM' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l limit-rate -d 'receive at most this many bytes a second (k, M, G)' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l max-filesize -d 'refuse larger files (k, M, G)' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l max-redirs -d 'redirects to follow at most; -1 is no limit' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s m -l max-time -d 'time limit for each transfer' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l netrc-file -d 'take credentials from this file' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l noproxy -d 'hosts to reach without a proxy' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l oauth2-bearer -d 'send a bearer token' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s o -l output -d 'write to this file instead of stdout' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l output-dir -d 'folder of -o and -O' -r -f -a "(__fish_complete_directories)"
complete -c racefetch -n "__fish_racefetch_needs_command" -l proto -d 'schemes that may be used: =https' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l proto-default -d 'scheme of URLs without one' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l proto-redir -d 'schemes that a redirect may lead to' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s x -l proxy -d '[scheme://][user:password@]host[:port]; http, https or socks4, 4a, 5, 5h' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l proxy1.0 -d 'HTTP proxy; it is spoken to with HTTP/1.1' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s U -l proxy-user -d 'credentials for the proxy' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s r -l range -d 'one range of bytes: 0-99, 100-, -500' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s e -l referer -d 'send a Referer; with ;auto also on redirects' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s X -l request -d 'method: only GET' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l resolve -d 'addresses to use for this host and port' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l retry -d 'repeat a transfer that failed for the moment' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l retry-delay -d 'wait this long between attempts' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l retry-max-time -d 'do not repeat later than this' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l socks4 -d 'SOCKS4 proxy' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l socks4a -d 'SOCKS4a proxy: it resolves the name' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l socks5 -d 'SOCKS5 proxy' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l socks5-hostname -d 'SOCKS5 proxy: it resolves the name' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s Y -l speed-limit -d 'give up below this many bytes a second' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s y -l speed-time -d 'give up after this long below --speed-limit' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l stderr -d 'write progress and errors to this file; - is stdout' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -s z -l time-cond -d 'fetch only what is newer than a date or a file; -date: older' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l tls-max -d 'newest TLS version to use: 1.2 or 1.3' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l trace -d 'write down which mirror sent what when, not as curl does; - is stdout' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l url -d 'a URL, as without --url; @file: a list, each with -O' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s u -l user -d 'credentials for the server' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s A -l user-agent -d 'send this User-Agent; \'\' sends none' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -s w -l write-out -d 'print %{variables} after each transfer; @file' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l digests -d 'what the file must be: \'blake2b:HEX sha512:HEX\'' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l mirrors -d 'other mirrors that may have the file' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l parallel-mirrors -d 'mirrors to use at once at most' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l size -d 'the file\'s size' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l state -d 'where the mirrors\' figures are kept' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l tier -d 'ask mirrors of this host or URL in tier N: 0 first, else 1' -r -f
complete -c racefetch -n "__fish_racefetch_needs_command" -l timeline -d 'draw which mirror sent what when; - is stdout' -r -F
complete -c racefetch -n "__fish_racefetch_needs_command" -l compressed -d 'refuse content that comes encoded all the same'
complete -c racefetch -n "__fish_racefetch_needs_command" -l create-dirs -d 'create the missing folders of the output, mode 0750'
complete -c racefetch -n "__fish_racefetch_needs_command" -s f -l fail -d 'no output and exit status 22 when the server answers an error'
complete -c racefetch -n "__fish_racefetch_needs_command" -l fail-early -d 'stop at the first URL that fails'
complete -c racefetch -n "__fish_racefetch_needs_command" -l fail-with-body -d 'exit status 22 on an error, and save its content'
complete -c racefetch -n "__fish_racefetch_needs_command" -l follow -d 'follow redirects, as -L'
complete -c racefetch -n "__fish_racefetch_needs_command" -s k -l insecure -d 'do not verify the server\'s certificate'
complete -c racefetch -n "__fish_racefetch_needs_command" -s 4 -l ipv4 -d 'use IPv4 addresses only'
complete -c racefetch -n "__fish_racefetch_needs_command" -s 6 -l ipv6 -d 'use IPv6 addresses only'
complete -c racefetch -n "__fish_racefetch_needs_command" -s j -l junk-session-cookies -d 'leave out cookies of files that end with a session'
complete -c racefetch -n "__fish_racefetch_needs_command" -s L -l location -d 'follow redirects'
complete -c racefetch -n "__fish_racefetch_needs_command" -l location-trusted -d 'as -L, and send credentials to other hosts too'
complete -c racefetch -n "__fish_racefetch_needs_command" -s M -l manual -d 'every option, as --help all'
complete -c racefetch -n "__fish_racefetch_needs_command" -s n -l netrc -d 'take credentials from ~/.netrc, which must exist'
complete -c racefetch -n "__fish_racefetch_needs_command" -l netrc-optional -d 'take credentials from ~/.netrc when it exists'
complete -c racefetch -n "__fish_racefetch_needs_command" -l path-as-is -d 'send /./ and /../ as they are'
complete -c racefetch -n "__fish_racefetch_needs_command" -s # -l progress-bar -d 'draw a bar even when PORTAGE_QUIET is set'
complete -c racefetch -n "__fish_racefetch_needs_command" -l progress-meter -d 'show progress (on by default)'
complete -c racefetch -n "__fish_racefetch_needs_command" -s p -l proxytunnel -d 'tunnel through the HTTP proxy (CONNECT) for http too'
complete -c racefetch -n "__fish_racefetch_needs_command" -s J -l remote-header-name -d 'with -O: take the name from Content-Disposition'
complete -c racefetch -n "__fish_racefetch_needs_command" -s O -l remote-name -d 'write to a file named as in the URL'
complete -c racefetch -n "__fish_racefetch_needs_command" -l remote-name-all -d '-O for every URL without -o'
complete -c racefetch -n "__fish_racefetch_needs_command" -s R -l remote-time -d 'give the file the server\'s modification time'
complete -c racefetch -n "__fish_racefetch_needs_command" -l remove-on-error -d 'remove the file when the transfer fails'
complete -c racefetch -n "__fish_racefetch_needs_command" -l retry-all-errors -d 'with --retry: repeat after every error'
complete -c racefetch -n "__fish_racefetch_needs_command" -l retry-connrefused -d 'with --retry: also when the connection is refused'
complete -c racefetch -n "__fish_racefetch_needs_command" -s S -l show-error -d 'with -s: show errors all the same'
complete -c racefetch -n "__fish_racefetch_needs_command" -s s -l silent -d 'no progress, no notes, no errors'
complete -c racefetch -n "__fish_racefetch_needs_command" -l skip-existing -d 'fetch nothing when the output file exists'
complete -c racefetch -n "__fish_racefetch_needs_command" -l tlsv1.2 -d 'TLS 1.2 or newer (the default)'
complete -c racefetch -n "__fish_racefetch_needs_command" -l tlsv1.3 -d 'TLS 1.3 or newer'
complete -c racefetch -n "__fish_racefetch_needs_command" -s v -l verbose -d 'show requests and answers'
complete -c racefetch -n "__fish_racefetch_needs_command" -s V -l version -d 'the version'
complete -c racefetch -n "__fish_racefetch_needs_command" -l look-ahead -d 'fetch the package\'s other files, too (on by default in Portage)'
complete -c racefetch -n "__fish_racefetch_needs_command" -f -a "stats" -d 'Show what is known of the mirrors'
complete -c racefetch -n "__fish_racefetch_needs_command" -f -a "verify" -d 'Compare the files in DISTDIR with the Manifests'
complete -c racefetch -n "__fish_racefetch_needs_command" -f -a "prefetch" -d 'Fetch everything that emerge would fetch, before it starts'
complete -c racefetch -n "__fish_racefetch_needs_command" -f -a "setup" -d 'Have Portage fetch with this program, or take that back'
complete -c racefetch -n "__fish_racefetch_needs_command" -f -a "doctor" -d 'Look whether all is well, and say what cures what is not'
complete -c racefetch -n "__fish_racefetch_needs_command" -f -a "rank" -d 'Find the best public mirrors for this machine'
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l forget -d 'Forget what is known of a mirror: a host, or a URL' -r -f -a "(racefetch stats --wide 2>/dev/null | grep http | cut -d/ -f3 | cut -d\  -f1)"
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l explain -d 'Show in which order mirrors would be asked for a file of this size (k, M, G), and why' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l mirrors -d 'The mirrors to explain, in place of the configured ones' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l tier -d 'Ask mirrors of this host or URL in tier N: 0 first, else 1' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l prometheus -d 'Write the figures for Prometheus, to a file (by one rename) or to standard output' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l html -d 'Write a page that shows the figures; - is standard output' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l state -d 'The file that holds the figures' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l json -d 'Print JSON instead of a table'
complete -c racefetch -n "__fish_racefetch_using_subcommand stats" -l wide -d 'Show all figures, however wide the table becomes, and the mirrors\' whole URLs'
complete -c racefetch -n "__fish_racefetch_using_subcommand verify" -s v -l verbose -d 'Show the files that are right, too'
complete -c racefetch -n "__fish_racefetch_using_subcommand verify" -l json -d 'Print JSON instead of lines'
complete -c racefetch -n "__fish_racefetch_using_subcommand verify" -l move-aside -d 'Rename corrupt files as Portage does, so that they are fetched again'
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l jobs -d 'Files that are fetched at once, at most' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l distdir -d 'The folder to fetch to instead of DISTDIR' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l mirrors -d 'The mirrors in place of the configured ones' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l tier -d 'Ask mirrors of this host or URL in tier N: 0 first, else 1' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l limit-rate -d 'Bytes per second of all connections together (k, M, G), at most' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l state -d 'The file that holds the figures of mirrors' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l dry-run -d 'Show what would be fetched from where, and fetch nothing'
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l ask -d 'Ask before anything is fetched'
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l json -d 'Print JSON instead of lines'
complete -c racefetch -n "__fish_racefetch_using_subcommand prefetch" -l quiet -d 'Show nothing but what could not be had'
complete -c racefetch -n "__fish_racefetch_using_subcommand setup" -l mirror -d 'A mirror on the local network, which is asked before all others' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand setup" -s y -l yes -d 'Do it without a question'
complete -c racefetch -n "__fish_racefetch_using_subcommand setup" -l dry-run -d 'Show what would be changed, and change nothing'
complete -c racefetch -n "__fish_racefetch_using_subcommand setup" -l timer -d 'Fetch every night what the next update needs, by systemd or cron'
complete -c racefetch -n "__fish_racefetch_using_subcommand setup" -l no-rank -d 'Leave the mirrors as they are, where nobody has chosen any'
complete -c racefetch -n "__fish_racefetch_using_subcommand setup" -l undo -d 'Restore every file as it was before setup, byte for byte'
complete -c racefetch -n "__fish_racefetch_using_subcommand setup" -l force -d 'With --undo: restore files that were changed since, too'
complete -c racefetch -n "__fish_racefetch_using_subcommand doctor" -l fix -d 'Cure what is found, or only what these checks find' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand doctor" -l json -d 'Print JSON instead of lines'
complete -c racefetch -n "__fish_racefetch_using_subcommand doctor" -l offline -d 'Ask no mirror'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s s -l servers -d 'How many mirrors to take, each of another operator' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s e -l exclude -d 'Leave out mirrors of this host' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l from -d 'Gentoo\'s list of mirrors, or another of its form; - is standard input' -r
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l format -d 'Print nothing but the mirrors, in this form' -r -f -a "make.conf\t'The assignment for make.conf (with --sync: the line sync-uri of repos.conf)'
plain\t'One address a line'
nginx\t'The upstream servers of an nginx that caches distfiles'"
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l write -d 'Write the mirrors into make.conf, where they are determined; or what --format says into a file of its own' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l chart -d 'Draw the rates over the ages of the copies' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l state -d 'The file that holds the figures of mirrors' -r -F
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s R -l region -d 'Only mirrors of this region: Europe, Asia, "North America"' -r -f -a "Africa\t''
Asia\t''
Australia and Oceania\t''
Europe\t''
Middle East\t''
North America\t''
South America\t''"
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s c -l country -d 'Only mirrors of this country: DE, Germany' -r -f -a "AR\t''
AT\t''
AU\t''
BE\t''
BG\t''
BR\t''
BY\t''
CA\t''
CH\t''
CL\t''
CN\t''
CO\t''
CZ\t''
DE\t''
DK\t''
ES\t''
FR\t''
GR\t''
HK\t''
HU\t''
IE\t''
IL\t''
IN\t''
IT\t''
JP\t''
KR\t''
KZ\t''
LU\t''
MD\t''
MX\t''
NA\t''
NC\t''
NL\t''
PH\t''
PL\t''
PT\t''
QA\t''
RO\t''
RS\t''
RU\t''
SA\t''
SE\t''
SG\t''
SK\t''
TH\t''
TR\t''
TW\t''
UA\t''
UK\t''
US\t''
VN\t''"
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s 4 -l ipv4 -d 'Only over IPv4'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s 6 -l ipv6 -d 'Only over IPv6'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s H -l http -d 'Only plain http'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s S -l https -d 'Only https'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l fast -d 'Ask all mirrors, and measure no rates: takes at most 4 seconds'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l sync -d 'Rank the mirrors of the repository (sync-uri) instead; needs rsync'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l json -d 'Print JSON'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l explain -d 'Say of every mirror why it stands where it does'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -l no-fallback -d 'Do not put distfiles.gentoo.org behind the others'
complete -c racefetch -n "__fish_racefetch_using_subcommand rank" -s q -l quiet -d 'Show no progress'
