#!/bin/sh
# Makes what the operator needs in Google Cloud, and changes nothing that is there already. Run it again at any time.
#   manifests/gcp/setup.sh PROJECT [TENANT_PROJECT…]
# PROJECT holds the operator's service account; every project named, that one included, may hold tenants.
# With IMAGE_REPOSITORIES="PROJECT/LOCATION/REPOSITORY …" the operator may deploy private images from these, and no others.
# With WORKLOAD_POOL=POOL (PROJECT.svc.id.goog of the GKE cluster's project) another pool than PROJECT's own.
set -eu

[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
project=$1
account=aitenant-operator@$project.iam.gserviceaccount.com
pool=${WORKLOAD_POOL:-$project.svc.id.goog}
role_file=$(dirname "$0")/role.yaml

# Before anything is made: the names of repositories, whole.
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

# Cloud Run checks that whoever deploys a private image may download it. The right is given by repository: on a project it would
# open every image there is, also other teams', to whoever takes over the operator.
for repository in ${IMAGE_REPOSITORIES:-}; do
  location=${repository#*/}
  gcloud artifacts repositories add-iam-policy-binding "${repository##*/}" --project="${repository%%/*}" \
    --location="${location%/*}" --format=none --member="serviceAccount:$account" --role=roles/artifactregistry.reader
done

# The pods of the Deployment act as the account, without a key.
gcloud iam service-accounts add-iam-policy-binding "$account" --project="$project" --format=none \
  --member="serviceAccount:$pool[aitenant-system/aitenant-operator]" --role=roles/iam.workloadIdentityUser

echo "$account is ready. Next: kubectl apply -k manifests/overlays/gke"
