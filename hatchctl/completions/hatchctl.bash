# bash completion for hatchctl(1)

# One row for each verb: the options it takes, then "builder" or "request" if it is followed by the name of one.
_hatchctl_verbs=(
        "check --config --unprivileged"
        "list --config --unprivileged --json --names"
        "ps --config --unprivileged --json --names --state"
        "cancel --config --unprivileged --state request"
        "history --config --unprivileged --json --builder --uid --derivation --verdict --since --until --lines --journal"
        "show --config --unprivileged --json --log --journal --state"
        "explain --config --unprivileged --json --uid --gid --groups --derivation --feature --socket --env --input --output --timeout builder"
)

# _hatchctl_names VERB: what it prints, for the configuration that the command line names so far.
_hatchctl_names() {
        local word options=()
        for word in "${!COMP_WORDS[@]}"; do
                case ${COMP_WORDS[word]} in
                --config) options+=(--config "${COMP_WORDS[word + 1]-}") ;;
                --state) [[ $1 != ps ]] || options+=(--state "${COMP_WORDS[word + 1]-}") ;;
                --unprivileged) options+=(--unprivileged) ;;
                esac
        done
        "${COMP_WORDS[0]}" "${options[@]}" "$1" --names 2>/dev/null
}

# _hatchctl_value OPTION: complete what follows it; false if it takes no value.
_hatchctl_value() {
        local verdicts="done failed timed-out oom cancelled refused busy not-ready not-found cannot-run limit output stopping bad-request server-failed"
        case $1 in
        --config | --journal | --state) mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
        --builder) mapfile -t COMPREPLY < <(compgen -W "$(_hatchctl_names list)" -- "$2") ;;
        --uid) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
        --verdict) mapfile -t COMPREPLY < <(compgen -W "$verdicts" -- "$2") ;;
        --since | --until) mapfile -t COMPREPLY < <(compgen -W "today yesterday" -- "$2") ;;
        --gid | --groups) mapfile -t COMPREPLY < <(compgen -g -- "$2") ;;
        --derivation | --feature | --lines | --socket | --env | --input | --output | --timeout) COMPREPLY=() ;;
        *) return 1 ;;
        esac
}

_hatchctl() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} row verb="" word names=""
        COMPREPLY=()
        _hatchctl_value "$previous" "$current" && return
        for row in "${_hatchctl_verbs[@]}"; do
                names+=" ${row%% *}"
                for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
                        [[ -n $verb || $word != "${row%% *}" ]] || verb=$row
                done
        done
        if [[ -z $verb ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$names --config --unprivileged --help --version" -- "$current")
        elif [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "${verb#* }" -- "$current")
        elif [[ $verb == *" builder" ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_hatchctl_names list)" -- "$current")
        elif [[ $verb == *" request" ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_hatchctl_names ps)" -- "$current")
        fi
}

complete -F _hatchctl hatchctl
