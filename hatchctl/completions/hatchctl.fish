# fish completion for hatchctl(1)

# __hatchctl_names VERB: what it prints, for the configuration that the command line names.
function __hatchctl_names
    set -l words (commandline -opc)
    set -l options
    if set -l at (contains -i -- --config $words)
        set options --config $words[(math $at + 1)]
    end
    contains -- --unprivileged $words; and set -a options --unprivileged
    if set -l at (contains -i -- --state $words); and test "$argv[1]" = ps
        set -a options --state $words[(math $at + 1)]
    end
    hatchctl $options $argv[1] --names 2>/dev/null
end

function __hatchctl_verb
    __fish_seen_subcommand_from $argv
end

set -l verbs check list ps cancel history show explain
complete -c hatchctl -f
complete -c hatchctl -l config -x -a '(__fish_complete_directories)' -d 'Directory of the configuration'
complete -c hatchctl -l unprivileged -d 'As hatchd --unprivileged does'
complete -c hatchctl -n "not __hatchctl_verb $verbs" -l help
complete -c hatchctl -n "not __hatchctl_verb $verbs" -l version
complete -c hatchctl -n "not __hatchctl_verb $verbs" -a check -d 'Say everything that is wrong with the configuration'
complete -c hatchctl -n "not __hatchctl_verb $verbs" -a list -d 'The builders, and who may use them'
complete -c hatchctl -n "not __hatchctl_verb $verbs" -a ps -d 'The requests that run and wait now'
complete -c hatchctl -n "not __hatchctl_verb $verbs" -a cancel -d 'End one of them'
complete -c hatchctl -n "not __hatchctl_verb $verbs" -a history -d 'The requests that have ended'
complete -c hatchctl -n "not __hatchctl_verb $verbs" -a show -d 'One of them, and what was kept of it if it failed'
complete -c hatchctl -n "not __hatchctl_verb $verbs" -a explain -d 'May this request be made, and what would its sandbox be'

complete -c hatchctl -n '__hatchctl_verb list ps history show explain' -l json -d 'For programs'
complete -c hatchctl -n '__hatchctl_verb list ps' -l names -d 'Names alone'
complete -c hatchctl -n '__hatchctl_verb ps cancel show' -l state -x -a '(__fish_complete_directories)' -d 'Directory of the state'
complete -c hatchctl -n '__hatchctl_verb cancel' -a '(__hatchctl_names ps)'
complete -c hatchctl -n '__hatchctl_verb history' -l builder -x -a '(__hatchctl_names list)' -d 'Only requests of this builder'
complete -c hatchctl -n '__hatchctl_verb history' -l uid -x -a '(__fish_complete_users)' -d 'Only requests of this user'
complete -c hatchctl -n '__hatchctl_verb history' -l derivation -x -d 'Only requests of derivations that match'
complete -c hatchctl -n '__hatchctl_verb history' -l verdict -x -d 'Only requests that ended so' \
    -a 'done failed timed-out oom cancelled refused busy not-ready not-found cannot-run limit output stopping bad-request server-failed'
complete -c hatchctl -n '__hatchctl_verb history' -l since -x -a 'today yesterday' -d 'Only requests that ended since'
complete -c hatchctl -n '__hatchctl_verb history' -l until -x -a 'today yesterday' -d 'Only requests that ended until'
complete -c hatchctl -n '__hatchctl_verb history' -l lines -x -a all -d 'So many'
complete -c hatchctl -n '__hatchctl_verb history show' -l journal -x -a '(__fish_complete_directories)' -d 'Journal files of this directory'

complete -c hatchctl -n '__hatchctl_verb show' -l log -d 'The end of the log that was kept'
complete -c hatchctl -n '__hatchctl_verb explain' -a '(__hatchctl_names list)'
complete -c hatchctl -n '__hatchctl_verb explain' -l uid -x -a '(__fish_complete_users)' -d 'Who asks'
complete -c hatchctl -n '__hatchctl_verb explain' -l gid -x -a '(__fish_complete_groups)' -d 'Another group than that of the account'
complete -c hatchctl -n '__hatchctl_verb explain' -l groups -x -a '(__fish_complete_groups)' -d 'Other supplementary groups'
complete -c hatchctl -n '__hatchctl_verb explain' -l derivation -x -d 'The Nix build that asks'
complete -c hatchctl -n '__hatchctl_verb explain' -l feature -x -d 'What its derivation requires'
complete -c hatchctl -n '__hatchctl_verb explain' -l socket -x -d 'Class of the socket'
complete -c hatchctl -n '__hatchctl_verb explain' -l env -x -d 'A variable of the client'
complete -c hatchctl -n '__hatchctl_verb explain' -l input -x -d 'An input'
complete -c hatchctl -n '__hatchctl_verb explain' -l output -x -d 'An output'
complete -c hatchctl -n '__hatchctl_verb explain' -l timeout -x -d 'Shorter limit of time'
