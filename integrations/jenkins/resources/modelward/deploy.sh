#!/usr/bin/env bash
# "Deploy, wait for the rollout, show the evidence", for CI systems: the GitHub action and the Jenkins step run this.
#
# What is asked comes as environment variables, never as text of a script: a branch's name or a commit's message that
# gets into one of them is a word, and runs nothing.
#   MODEL, URI               the ModelDeployment, and what spec.model.uri shall say
#   DIGEST, NAMESPACE        may be empty
#   KUBECONFIG_CONTENT       a kubeconfig's content; empty: what kubectl finds by itself
#   TIMEOUT, WHEN_PAUSED     seconds (3600); fail or wait
#   TAKE_OVER                true or false
#   CLI                      the folder of modelward_cli; empty: it is installed
# Exit code: that of `modelward deploy`: 0 promoted, 1 not deployed, 4 ended otherwise, 5 the time was over.
set -euo pipefail
umask 077

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

arguments=("$MODEL" "--uri=$URI" --wait "--timeout=${TIMEOUT:-3600}" "--when-paused=${WHEN_PAUSED:-fail}" -o json)
[[ -z "${DIGEST:-}" ]] || arguments+=("--digest=$DIGEST")
[[ -z "${NAMESPACE:-}" ]] || arguments+=("--namespace=$NAMESPACE")
[[ "${TAKE_OVER:-false}" != true ]] || arguments+=(--take-over)
if [[ "$MODEL" == -* ]]; then
  echo "MODEL is $MODEL; write the name of a ModelDeployment" >&2
  exit 1
fi
if [[ -n "${KUBECONFIG_CONTENT:-}" ]]; then
  printf '%s\n' "$KUBECONFIG_CONTENT" > "$folder/kubeconfig"
  arguments+=("--kubeconfig=$folder/kubeconfig")
fi
unset KUBECONFIG_CONTENT

code=0
PYTHONPATH="${CLI:+$CLI:}${PYTHONPATH:-}" python3 -m modelward_cli deploy "${arguments[@]}" > "$folder/told.json" || code=$?

python3 - "$folder/told.json" << 'EOF'
import json, os, secrets, sys

content = open(sys.argv[1]).read()
told = json.loads(content) if content.strip() else {}
rollout = told.get("rollout") or {}


def plain(value):
    return "".join(each if each.isprintable() else " " for each in str(value))


def counts(side):
    return f"{side['bad']}/{side['requests']}" if side else "-"


lines = [f"{plain(told['model'])}: {plain(told['state'])}. {plain(told['message'])}"] if told else ["Nothing was deployed."]
gates = [
    [gate["name"], gate["verdict"], counts(gate["stable"]), counts(gate["candidate"]), gate["message"] or ""]
    for gate in rollout.get("gates") or []
]
for gate in gates:
    lines.append(f"  {gate[0]}  {gate[1]}  stable {gate[2]}  candidate {gate[3]}  {gate[4]}")
print("\n".join(map(plain, lines)))

if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
    rows = [["gate", "verdict", "bad of the stable's", "bad of the candidate's", ""], ["---"] * 5, *gates]
    shown = ["| " + " | ".join(plain(cell).replace("|", "\\|").replace("<", "&lt;") for cell in row) + " |" for row in rows]
    with open(summary, "a") as page:
        page.write(plain(lines[0]).replace("<", "&lt;") + "\n\n" + ("\n".join(shown) + "\n" if gates else ""))
if output := os.environ.get("GITHUB_OUTPUT"):
    with open(output, "a") as values:
        for name in ("state", "message"):
            end = secrets.token_hex(8)
            values.write(f"{name}<<{end}\n{plain(told.get(name) or '')}\n{end}\n")
EOF
exit "$code"
