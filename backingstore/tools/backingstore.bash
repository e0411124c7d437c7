# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
# shellcheck shell=bash

_backingstore_options()
{
    local common='--json --quiet --scratch= --help'

    case $1 in
        list) echo "--long $common" ;;
        export) echo "--force --dry-run $common" ;;
        import) echo "--add --replace --engine= --dry-run $common" ;;
        copy) echo "--replace --engine= --dry-run $common" ;;
        repair) echo "--adopt --quarantine --dry-run $common" ;;
        info | verify | du) echo "$common" ;;
    esac
}

_backingstore_files()
{
    local IFS=$'\n'

    compopt -o filenames 2> /dev/null
    COMPREPLY=($(compgen -f -- "$1"))
}

_backingstore()
{
    local word=${COMP_WORDS[COMP_CWORD]}
    local command=${COMP_WORDS[1]}
    local previous=${COMP_WORDS[COMP_CWORD - 1]}

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W 'info list verify du export import copy repair --help --version' -- "$word"))
        return
    fi

    # The words break at an equals sign.
    [[ $word == = ]] && word=
    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
    case $previous in
        --engine)
            COMPREPLY=($(compgen -W 'file sqlite' -- "$word"))
            return
            ;;
        --scratch)
            compopt -o filenames 2> /dev/null
            COMPREPLY=($(compgen -d -- "$word"))
            return
            ;;
    esac

    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$(_backingstore_options "$command")" -- "$word"))
        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2> /dev/null
        return
    fi
    _backingstore_files "$word"
}

complete -F _backingstore backingstore
