# What the scripts here share. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off PYTHONUNBUFFERED=1 TQDM_MININTERVAL=30
unset PIP_CONSTRAINT # the README's commands have none

scratch="$(mktemp -d)"
step_name=""
step_start=0

# Say what begins, and how long the step before it took.
step() {
    end_step
    step_name="$*" step_start=$SECONDS
    printf '\n=== %s\n' "$step_name"
}

end_step() {
    [ -z "$step_name" ] || printf -- '--- %d s: %s\n' $((SECONDS - step_start)) "$step_name"
    step_name=""
}

finish() {
    local status=$?
    [ "$status" = 0 ] || [ -z "$step_name" ] || printf '\n!!! failed: %s\n' "$step_name"
    end_step
    printf -- '--- %d s: %s in all\n' "$SECONDS" "${0##*/}"
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Paths of the CPythons from 3.10 up that are on PATH or in pyenv's folder, one a version, oldest first.
interpreters() {
    local candidate
    {
        IFS=: read -ra folders <<<"$PATH"
        for candidate in "${folders[@]/%//python3}" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
            compgen -G "$candidate*" || true
        done
    } | grep -E '/python3(\.[0-9]+)?$' | while read -r candidate; do
        # Shims of pyenv fail for a version that is not selected; a virtual environment stands in for its base.
        "$candidate" -c '
import ensurepip, sys, venv
if sys.version_info >= (3, 10) and sys.version_info.releaselevel == "final" and sys.prefix == sys.base_prefix:
    print(".".join(map(str, sys.version_info[:3])), sys.executable)
' 2>/dev/null || true
    done | sort -t' ' -k1,1V -u | cut -d' ' -f2-
}

# Make an environment in the scratch folder and enter it: NAME [PYTHON]
enter() {
    "${2:-python3}" -m venv "$scratch/$1"
    # shellcheck disable=SC1091
    source "$scratch/$1/bin/activate"
}

# Leave it again. It holds several GB.
leave() {
    local gone="$VIRTUAL_ENV"
    deactivate
    rm -rf "$gone"
}
