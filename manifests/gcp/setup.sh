#!/bin/sh
# Creates what the operator needs in Google Cloud. It changes nothing that exists, so you can run it again at any time.
#   manifests/gcp/setup.sh PROJECT [TENANT_PROJECT…]
# PROJECT gets the operator's service account. Every project that you name, including PROJECT, may contain tenants.
# IMAGE_REPOSITORIES="PROJECT/LOCATION/REPOSITORY …" lets the operator deploy private images from these repositories only.
# WORKLOAD_POOL=POOL (PROJECT.svc.id.goog of the GKE cluster's project) sets another pool than the one of PROJECT.
# IMAGE=REGISTRY/REPOSITORY sets another image of the operator, without its tag.
# At the end it writes manifests/my-cluster, an overlay with your project, account and image, if that folder does not exist.
set -eu

[ $# -ge 1 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
project=$1
account=aitenant-operator@$project.iam.gserviceaccount.com
pool=${WORKLOAD_POOL:-$project.svc.id.goog}
role_file=$(dirname "$0")/role.yaml

# Check the names before anything is created. With an empty --project, gcloud would change the project of its configuration.
for id in "$@"; do
  case $id in
    '' | -* | *[!a-z0-9.:-]*) echo "setup.sh: '$id' is not a project ID. $(sed -n '3s/^# *//p' "$0")" >&2; exit 2 ;;
  esac
done
image=${IMAGE:-}
case ${image##*/} in
  *[:@]*) echo "setup.sh: IMAGE is '$image': write it without its tag and its digest." >&2; exit 2 ;;
esac
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
  --member="serviceAccount:${pool}[aitenant-system/aitenant-operator]" --role=roles/iam.workloadIdentityUser

manifests=$(cd "$(dirname "$0")/.." && pwd)
overlay=$manifests/my-cluster
image=${IMAGE:-asia-northeast1-docker.pkg.dev/$project/platform/aitenant-operator}
if [ ! -e "$overlay" ]; then
  mkdir "$overlay"
  cat > "$overlay/kustomization.yaml" <<EOF
resources: [../overlays/gke]
images:
  - { name: aitenant-operator, newName: $image, newTag: 0.1.0 }
patches:
  - target: { kind: ServiceAccount, name: aitenant-operator }
    patch: |
      - { op: replace, path: /metadata/annotations/iam.gke.io~1gcp-service-account, value: $account }
  - target: { kind: Deployment, name: aitenant-operator }
    patch: |
      - { op: add, path: /spec/template/spec/containers/0/args/-, value: --project=$project }
EOF
fi

echo "$account is ready. When the image that $overlay/kustomization.yaml names exists, run:"
echo "kubectl apply -k '$overlay'"
