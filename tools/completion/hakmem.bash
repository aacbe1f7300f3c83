# bash completion for hakmem
_hakmem()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
	local commands="run doctor top list ctl advise replay report export help"
	local knobs="tcache_capacity drain_threshold partial_release_pages diet_factor bundle_width purge_delay_ms huge_pages nt_threshold huge_cache_mb idle_delay_ms"
	local pids
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
		return
	fi
	pids=$(hakmem list 2>/dev/null | awk 'NR > 1 { print $1 }')
	case $command in
	help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
	run)
		case $prev in
		-l | --library | -r | --report) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		*)
			if [[ $cur == -* ]]; then
				mapfile -t COMPREPLY < <(compgen -W "--option --ace --profile --leaks --report --library --quiet --" -- "$cur")
			else
				mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
			fi
			;;
		esac
		;;
	doctor) mapfile -t COMPREPLY < <(compgen -c -W "$pids" -- "$cur") ;;
	top) mapfile -t COMPREPLY < <(compgen -W "$pids --delay --times --plain" -- "$cur") ;;
	advise)
		case $prev in
		-b | --playbook) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		*)
			if [[ ${COMP_WORDS[2]} == -b || ${COMP_WORDS[2]} == --playbook ]] && ((COMP_CWORD > 3)); then
				mapfile -t COMPREPLY < <(compgen -c -- "$cur")
			else
				mapfile -t COMPREPLY < <(compgen -W "$pids --playbook" -- "$cur")
			fi
			;;
		esac
		;;
	report)
		case $prev in
		-o | --output | -p | --profile) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		*) mapfile -t COMPREPLY < <(compgen -f -W "$pids --output --profile" -- "$cur") ;;
		esac
		;;
	replay) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	export) mapfile -t COMPREPLY < <(compgen -f -W "$pids --output --openmetrics" -- "$cur") ;;
	ctl)
		case $COMP_CWORD in
		2) mapfile -t COMPREPLY < <(compgen -W "$pids" -- "$cur") ;;
		3) mapfile -t COMPREPLY < <(compgen -W "purge set reset freeze unfreeze profile" -- "$cur") ;;
		4)
			[[ $prev == set ]] && mapfile -t COMPREPLY < <(compgen -W "$knobs" -- "$cur")
			[[ $prev == profile ]] && mapfile -t COMPREPLY < <(compgen -W "on off dump" -- "$cur")
			;;
		5) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		esac
		;;
	esac
}
complete -F _hakmem hakmem
