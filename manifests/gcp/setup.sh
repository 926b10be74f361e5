#!/bin/sh
# Creates what the operator needs in Google Cloud. It changes nothing that exists, so you can run it again at any time.
#   manifests/gcp/setup.sh PROJECT [TENANT_PROJECT…]
# PROJECT gets the operator's service account. Every project that you name, including PROJECT, may contain tenants.
# IMAGE_REPOSITORIES="PROJECT/LOCATION/REPOSITORY …" lets the operator deploy private images from these repositories only.
# WORKLOAD_POOL=POOL (PROJECT.svc.id.goog of the GKE cluster's project) sets another pool than the one of PROJECT.
set -eu

[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
project=$1
account=aitenant-operator@$project.iam.gserviceaccount.com
pool=${WORKLOAD_POOL:-$project.svc.id.goog}
role_file=$(dirname "$0")/role.yaml

# Check the names of the repositories before anything is created.
for repository in ${IMAGE_REPOSITORIES:-}; do
  case $repository in
    */*/*/* | /* | */ | *//*) ;;
    */*/*) continue ;;
  esac
  echo "setup.sh: IMAGE_REPOSITORIES has '$repository': write PROJECT/LOCATION/REPOSITORY, such as $project/asia-northeast1/tenants." >&2
  exit 2
done

if ! gcloud iam service-accounts describe "$account" --project="$project" >/dev/null 2>&1; then
  gcloud iam service-accounts create aitenant-operator --project="$project" --display-name="AiTenant operator"
fi

for tenants in "$@"; do
  gcloud services enable run.googleapis.com secretmanager.googleapis.com iam.googleapis.com --project="$tenants"
  if gcloud iam roles describe aitenantOperator --project="$tenants" >/dev/null 2>&1; then
    gcloud iam roles update aitenantOperator --project="$tenants" --file="$role_file" --quiet
  else
    gcloud iam roles create aitenantOperator --project="$tenants" --file="$role_file"
  fi
  gcloud projects add-iam-policy-binding "$tenants" --condition=None --format=none \
    --member="serviceAccount:$account" --role="projects/$tenants/roles/aitenantOperator"
done

# Cloud Run checks that the caller who deploys a private image may download it. The role is granted on single repositories: on a project
# it would give an attacker in the operator's pod every image, including those of other teams.
for repository in ${IMAGE_REPOSITORIES:-}; do
  location=${repository#*/}
  gcloud artifacts repositories add-iam-policy-binding "${repository##*/}" --project="${repository%%/*}" \
    --location="${location%/*}" --format=none --member="serviceAccount:$account" --role=roles/artifactregistry.reader
done

# The pods of the Deployment use the account through Workload Identity, without a key file.
gcloud iam service-accounts add-iam-policy-binding "$account" --project="$project" --format=none \
  --member="serviceAccount:$pool[aitenant-system/aitenant-operator]" --role=roles/iam.workloadIdentityUser

echo "$account is ready. Next: kubectl apply -k manifests/overlays/gke"
