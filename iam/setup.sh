#!/bin/sh
# Let gate, in a GKE cluster, read repositories of Artifact Registry. What is there already is left alone, so a second
# run changes nothing. See README.md beside this file, and --help.
set -euf
LC_ALL=C # so that a-z in a pattern means these 26 letters

namespace=oci-webhook
account=signature-verification-sa
annotation=iam.gke.io/gcp-service-account
reader=roles/artifactregistry.reader

program=${0##*/}
newline='
'

dry_run=no
cluster=
node_pools=
repositories= # words: PROJECT/LOCATION/REPOSITORY/create or .../keep
service_account=
context=
changed=no

usage() {
    cat <<'END'
Let gate, in a GKE cluster, read repositories of Artifact Registry.

  setup.sh --cluster=PROJECT/LOCATION/NAME [--node-pool=NAME]...
           --repository=LOCATION-docker.pkg.dev/PROJECT/REPOSITORY...
           [--create-repository=LOCATION-docker.pkg.dev/PROJECT/REPOSITORY]...
           [--service-account=NAME@PROJECT.iam.gserviceaccount.com] [--context=NAME] [--dry-run]

  --cluster            the cluster that gate runs in
  --node-pool          a node pool that gate may run on; without any: all of them
  --repository         a repository that gate shall read, and that exists
  --create-repository  one that gate shall read, and that is created if it does not exist
  --service-account    the older way: gate acts as this service account, which is created if it does not exist;
                       without it gate's Kubernetes ServiceAccount itself may read
  --context            the kubectl context of the cluster: check, or set, the annotation of gate's ServiceAccount
  --dry-run            print the commands, run none

At least one of --repository and --create-repository is needed. Exit code: 0 done, 1 something is missing or failed, 2 misuse.
END
}

misuse() {
    printf '%s: %s; see --help\n' "$program" "$1" >&2
    exit 2
}

fail() {
    printf '%s: %s\n' "$program" "$1" >&2
    exit 1
}

# What came from outside, fit for a terminal and for one sentence.
shown() {
    printf '%s' "$1" | LC_ALL=C tr -c ' -~' '?' | cut -c 1-200
}

# ---------------------------------------------------------------------------------------------------- arguments
# Every part of a value is held against its own alphabet, so that no value can be an option, a path or a piece of shell.

# is_name TEXT LONGEST: letters, digits and hyphens, from a letter to a letter or digit
is_name() {
    case $1 in '' | [!a-z]* | *[!a-z0-9-]* | *-) return 1 ;; esac
    [ "${#1}" -le "$2" ]
}

# Those of a domain (example.com:project) are not accepted. Resource Manager: 6 to 30 characters.
is_project() {
    is_name "$1" 30 && [ "${#1}" -ge 6 ]
}

# Artifact Registry: 63 characters at most; a dot is in the names of those that took the place of Container Registry.
is_repository() {
    case $1 in '' | [!a-z]* | *[!a-z0-9.-]* | *..* | *[.-]) return 1 ;; esac
    [ "${#1}" -le 63 ]
}

# three TEXT: put its parts into $first, $second and $third; slashes beyond two are in $second, where no alphabet has one
three() {
    case $1 in */*/*) ;; *) return 1 ;; esac
    first=${1%%/*}
    third=${1##*/}
    second=${1#*/}
    second=${second%/*}
}

# has_line TEXT LINE, and has_word WORDS WORD
has_line() {
    case "$newline$1$newline" in *"$newline$2$newline"*) return 0 ;; esac
    return 1
}

has_word() {
    case " $1 " in *" $2 "*) return 0 ;; esac
    return 1
}

take_cluster() {
    [ -z "$cluster" ] || misuse "--cluster is given twice"
    # Container API: names have 40 characters at most.
    { three "$1" && is_project "$first" && is_name "$second" 40 && is_name "$third" 40; } ||
        misuse "--cluster is not PROJECT/LOCATION/NAME: $(shown "$1")"
    cluster=$1 cluster_project=$first cluster_location=$second cluster_name=$third
}

take_node_pool() {
    is_name "$1" 40 || misuse "--node-pool is not the name of a node pool: $(shown "$1")"
    node_pools="$node_pools $1"
}

# take_repository OPTION TEXT create|keep
take_repository() {
    { three "$2" && case $first in *-docker.pkg.dev) ;; *) false ;; esac &&
        is_name "${first%-docker.pkg.dev}" 40 && is_project "$second" && is_repository "$third"; } ||
        misuse "$1 is not LOCATION-docker.pkg.dev/PROJECT/REPOSITORY: $(shown "$2")"
    taken=$second/${first%-docker.pkg.dev}/$third
    if has_word "$repositories" "$taken/keep" || has_word "$repositories" "$taken/create"; then
        misuse "$2 is given twice"
    fi
    repositories="$repositories $taken/$3"
}

take_service_account() {
    [ -z "$service_account" ] || misuse "--service-account is given twice"
    account_project=${1#*@}
    account_project=${account_project%.iam.gserviceaccount.com}
    account_id=${1%%@*}
    { [ "$1" = "$account_id@$account_project.iam.gserviceaccount.com" ] &&
        is_project "$account_project" && is_project "$account_id"; } || # an account's name has a project's form
        misuse "--service-account is not NAME@PROJECT.iam.gserviceaccount.com: $(shown "$1")"
    service_account=$1
}

take_context() {
    [ -z "$context" ] || misuse "--context is given twice"
    case $1 in '' | -* | *[!A-Za-z0-9._:/@-]*) misuse "--context is not the name of a context: $(shown "$1")" ;; esac
    context=$1
}

take_arguments() {
    for argument in "$@"; do
        case $argument in
            --cluster=*) take_cluster "${argument#*=}" ;;
            --node-pool=*) take_node_pool "${argument#*=}" ;;
            --repository=*) take_repository --repository "${argument#*=}" keep ;;
            --create-repository=*) take_repository --create-repository "${argument#*=}" create ;;
            --service-account=*) take_service_account "${argument#*=}" ;;
            --context=*) take_context "${argument#*=}" ;;
            --dry-run) dry_run=yes ;;
            --help) usage && exit 0 ;;
            --cluster | --node-pool | --repository | --create-repository | --service-account | --context)
                misuse "$argument takes its value after an equals sign"
                ;;
            *) misuse "unknown argument: $(shown "$argument")" ;;
        esac
    done
    [ -n "$cluster" ] || misuse "--cluster is missing"
    [ -n "$repositories" ] || misuse "--repository is missing"
}

# ---------------------------------------------------------------------------------------------------- commands
# All commands go through ask, look and change, which in a dry run print them and run nothing.

dry_run() {
    [ "$dry_run" = yes ]
}

# What holds for the commands of a dry run as a comment, and nothing else.
remark() {
    if dry_run; then printf '# %s\n' "$1"; fi
}

# spell COMMAND...: put the command into $line as a shell would have to read it. No word holds a single quote: the
# arguments' alphabets have none.
spell() {
    line=
    for word in "$@"; do
        case $word in
            *"\$PROJECT_NUMBER"*) line="$line \"$word\"" ;;
            *[!A-Za-z0-9@%+=:,./_-]*) line="$line '$word'" ;;
            *) line="$line $word" ;;
        esac
    done
    line=${line# }
}

# ask SENTENCE COMMAND...: put what the command prints into $answer; it changes nothing, and must not fail
ask() {
    sentence=$1
    shift
    answer=
    if dry_run; then
        spell "$@"
        printf '%s\n' "$line"
    else
        answer=$("$@" </dev/null) || fail "$sentence (the reason is above, and running this again is safe)"
    fi
}

# look COMMAND...: the same for a thing that may be absent. Where it only cannot be seen, making it fails and says why.
look() {
    answer=
    if dry_run; then
        spell "$@"
        printf '%s\n' "$line"
        return 1
    fi
    answer=$("$@" </dev/null 2>/dev/null)
}

# change SENTENCE COMMAND...
change() {
    sentence=$1
    shift
    spell "$@"
    if dry_run; then
        printf '%s\n' "$line"
    else
        printf '+ %s\n' "$line"
        changed=yes
        "$@" </dev/null >/dev/null || fail "$sentence (the reason is above, and running this again is safe)"
    fi
}

need() {
    dry_run || command -v "$1" >/dev/null || fail "$1 is not on the PATH: $2"
}

# ---------------------------------------------------------------------------------------------------- the cluster

# Sets $member, the name that IAM knows gate by.
find_member() {
    pool=$cluster_project.svc.id.goog
    if [ -n "$service_account" ]; then
        member=serviceAccount:$service_account
        return
    fi
    set -- gcloud projects describe "$cluster_project" --format='value(projectNumber)'
    if dry_run; then
        spell "$@"
        printf "PROJECT_NUMBER=\$(%s)\n" "$line"
        answer="\$PROJECT_NUMBER"
    else
        ask "cannot read the number of the project $cluster_project" "$@"
        case $answer in
            '' | *[!0-9]*) fail "gcloud gave no number for the project $cluster_project: $(shown "$answer")" ;;
        esac
    fi
    member=principal://iam.googleapis.com/projects/$answer/locations/global/workloadIdentityPools/$pool
    member=$member/subject/ns/$namespace/sa/$account
}

check_cluster() {
    ask "cannot read the cluster $cluster" \
        gcloud container clusters describe "$cluster_name" --location="$cluster_location" --project="$cluster_project" \
        --format='csv[no-heading](workloadIdentityConfig.workloadPool,autopilot.enabled)'
    dry_run || [ "${answer%%,*}" = "$pool" ] ||
        fail "the cluster $cluster has no Workload Identity with the pool $pool: switch it on with --workload-pool=$pool (gcloud container clusters update)"
    case ${answer#*,} in
        # Always on there, and the node pools are Google's.
        [Tt]rue) ;;
        *) check_node_pools ;;
    esac
}

# They are checked and never changed: the change takes from everything else on a pool the identity of its nodes.
check_node_pools() {
    remark "Only for a cluster that is not Autopilot:"
    ask "cannot list the node pools of the cluster $cluster" \
        gcloud container node-pools list --cluster="$cluster_name" --location="$cluster_location" \
        --project="$cluster_project" --format='csv[no-heading](name,config.workloadMetadataConfig.mode)'
    if dry_run; then return; fi
    [ -n "$answer" ] || fail "the cluster $cluster has no node pools"
    seen=
    for each in $answer; do
        name=${each%%,*}
        seen="$seen $name"
        [ -z "$node_pools" ] || has_word "$node_pools" "$name" || continue
        [ "${each#*,}" = GKE_METADATA ] ||
            fail "the node pool $(shown "$name") has no metadata server of GKE: set --workload-metadata=GKE_METADATA (gcloud container node-pools update), or name the pools that gate runs on with --node-pool"
    done
    for each in $node_pools; do
        has_word "$seen" "$each" || fail "the cluster $cluster has no node pool $each"
    done
}

# A ServiceAccount that is annotated acts as the service account of its annotation, whatever else was bound to it.
check_annotation() {
    annotated=
    if [ -z "$context" ]; then return; fi
    ask "cannot read the ServiceAccount $namespace/$account" \
        kubectl --context="$context" get serviceaccount "$account" --namespace="$namespace" --ignore-not-found \
        --output='jsonpath={.metadata.annotations.iam\.gke\.io/gcp-service-account}'
    annotated=$answer
    [ -z "$annotated" ] || [ "$annotated" = "$service_account" ] ||
        fail "the ServiceAccount $namespace/$account is annotated to act as $(shown "$annotated"): remove that with kubectl annotate serviceaccount $account -n $namespace $annotation-, or give it as --service-account"
}

# ---------------------------------------------------------------------------------------------------- Google Cloud

# want PROJECT API: once
want() {
    has_word "$wanted" "$1/$2" || wanted="$wanted $1/$2"
}

enable_apis() {
    wanted=
    want "$cluster_project" iamcredentials.googleapis.com # for GKE's metadata server
    if [ -n "$service_account" ]; then
        want "$account_project" iamcredentials.googleapis.com
        want "$account_project" iam.googleapis.com
    fi
    for each in $repositories; do want "${each%%/*}" artifactregistry.googleapis.com; done
    finished=
    for each in $wanted; do
        project=${each%%/*}
        if has_word "$finished" "$project"; then continue; fi
        finished="$finished $project"
        enable_apis_of "$project"
    done
}

enable_apis_of() {
    ask "cannot list the APIs of the project $1" \
        gcloud services list --enabled --project="$1" --format='value(config.name)'
    for entry in $wanted; do
        api=${entry#*/}
        if [ "$entry" != "$1/$api" ] || has_line "$answer" "$api"; then continue; fi
        remark "Only if $api is not in that list:"
        change "cannot enable $api in the project $1" gcloud services enable "$api" --project="$1"
    done
}

# unpack PROJECT/LOCATION/REPOSITORY/MODE: into the variables of these names
unpack() {
    mode=${1##*/}
    three "${1%/*}"
    project=$first location=$second repository=$third
    image=$location-docker.pkg.dev/$project/$repository
}

check_repositories() {
    for each in $repositories; do
        unpack "$each"
        set -- gcloud artifacts repositories describe "$repository" --location="$location" --project="$project" \
            --format='value(format)'
        if [ "$mode" = keep ]; then
            ask "there is no repository $image, or you may not see it; --create-repository creates one" "$@"
        elif ! look "$@"; then
            remark "Only if there is none:"
            change "cannot create the repository $image" \
                gcloud artifacts repositories create "$repository" --location="$location" --project="$project" \
                --repository-format=docker
            continue
        fi
        dry_run || [ "$answer" = DOCKER ] ||
            fail "the repository $image has the format $(shown "$answer"): bundles and images need DOCKER"
    done
}

check_service_account() {
    if [ -z "$service_account" ]; then return; fi
    if look gcloud iam service-accounts describe "$service_account" --project="$account_project" \
        --format='value(disabled)'; then
        case $answer in [Tt]rue) fail "the service account $service_account is disabled" ;; esac
        return
    fi
    remark "Only if there is none:"
    change "cannot create the service account $service_account" \
        gcloud iam service-accounts create "$account_id" --project="$account_project" \
        --display-name='Signature verification of gate'
}

# bind NAME ROLE MEMBER GROUP COLLECTION WHICH OPTION...: give the role on the thing that
# `gcloud GROUP COLLECTION VERB WHICH OPTION...` is about, unless it is given without a condition already
bind() {
    what=$1 role=$2 who=$3 group=$4 collection=$5
    shift 5
    ask "cannot read who may use $what" \
        gcloud "$group" "$collection" get-iam-policy "$@" --flatten='bindings[].members' \
        --format='csv[no-heading](bindings.role,bindings.members,bindings.condition.title)'
    if has_line "$answer" "$role,$who,"; then return; fi
    remark "Only if that list does not hold this role and member without a condition:"
    # --condition=None: without it gcloud refuses where another binding has a condition.
    change "cannot give $role on $what" \
        gcloud "$group" "$collection" add-iam-policy-binding "$@" --role="$role" --member="$who" --condition=None
}

bind_all() {
    if [ -n "$service_account" ]; then
        bind "the service account $service_account" roles/iam.workloadIdentityUser \
            "serviceAccount:${pool}[$namespace/$account]" \
            iam service-accounts "$service_account" --project="$account_project"
    fi
    for each in $repositories; do
        unpack "$each"
        bind "the repository $image" "$reader" "$member" \
            artifacts repositories "$repository" --location="$location" --project="$project"
    done
}

annotate() {
    set -- annotate serviceaccount "$account" --namespace="$namespace" "$annotation=$service_account"
    spell kubectl "$@"
    if [ -z "$context$service_account" ]; then
        printf '# Without --context this was not checked: the ServiceAccount must not be annotated with %s.\n' "$annotation"
    elif [ -z "$context" ]; then
        printf '# Without --context this is left to you: %s\n' "$line"
    elif [ "$annotated" != "$service_account" ]; then
        remark "Only if it is not annotated so:"
        change "cannot annotate the ServiceAccount $namespace/$account: apply gate's manifests first" \
            kubectl --context="$context" "$@"
    fi
}

take_arguments "$@"
need gcloud "install the Google Cloud CLI"
if [ -n "$context" ]; then need kubectl "install it, or leave out --context"; fi

# A question that gcloud would ask, as whether to enable an API, is a failure here: nobody answers it.
export CLOUDSDK_CORE_DISABLE_PROMPTS=1
if dry_run; then echo "export CLOUDSDK_CORE_DISABLE_PROMPTS=1"; fi

# What can be refused without a change comes first.
find_member
check_cluster
check_annotation
enable_apis
check_repositories
check_service_account
bind_all
annotate

if dry_run; then exit 0; fi
[ "$changed" = yes ] || echo "Everything was there already; nothing was changed."
# https://cloud.google.com/iam/docs/access-change-propagation
echo "$member may read the repositories; a new grant can take seven minutes to be known everywhere."
