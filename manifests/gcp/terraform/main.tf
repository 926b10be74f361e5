# The same resources as setup.sh creates, for Terraform.
#   terraform apply -var project=PROJECT -var 'tenant_projects=["PROJECT"]'
terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0"
    }
  }
}

variable "project" {
  type        = string
  description = "Project of the operator's service account."
}

variable "tenant_projects" {
  type        = set(string)
  description = "Projects that may contain tenants. Include the operator's own project if it contains tenants."
}

variable "workload_pool" {
  type        = string
  default     = null
  description = "Workload identity pool of the GKE cluster. If it is null, PROJECT.svc.id.goog is used."
}

variable "image_repositories" {
  type        = map(object({ project = string, location = string, repository = string }))
  default     = {}
  description = "Artifact Registry repositories of private images that tenants may run. The map keys can be any names."
}

locals {
  # The same permissions as in ../role.yaml. A test compares them with the calls that the operator makes.
  permissions = [
    "iam.serviceAccounts.actAs",
    "iam.serviceAccounts.create",
    "iam.serviceAccounts.delete",
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.list",
    "iam.serviceAccounts.update",
    "run.services.create",
    "run.services.delete",
    "run.services.get",
    "run.services.getIamPolicy",
    "run.services.list",
    "run.services.setIamPolicy",
    "run.services.update",
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "secretmanager.secrets.list",
    "secretmanager.secrets.setIamPolicy",
    "secretmanager.versions.get",
    "secretmanager.versions.list",
  ]
  apis = ["iam.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com"]
  enabled = {
    for pair in setproduct(var.tenant_projects, local.apis) :
    "${pair[0]}/${pair[1]}" => { project = pair[0], api = pair[1] }
  }
}

resource "google_service_account" "operator" {
  project      = var.project
  account_id   = "aitenant-operator"
  display_name = "AiTenant operator"
}

resource "google_project_service" "api" {
  for_each           = local.enabled
  project            = each.value.project
  service            = each.value.api
  disable_on_destroy = false
}

resource "google_project_iam_custom_role" "operator" {
  for_each    = var.tenant_projects
  project     = each.value
  role_id     = "aitenantOperator"
  title       = "AiTenant operator"
  description = "Service accounts, key grants and Cloud Run services of AiTenants."
  permissions = local.permissions
}

resource "google_project_iam_member" "operator" {
  for_each = var.tenant_projects
  project  = each.value
  role     = google_project_iam_custom_role.operator[each.value].name
  member   = google_service_account.operator.member
}

# Cloud Run checks that the caller who deploys a private image may download it. The role is granted on single repositories, because on
# a project it would give access to every image.
resource "google_artifact_registry_repository_iam_member" "operator" {
  for_each   = var.image_repositories
  project    = each.value.project
  location   = each.value.location
  repository = each.value.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.operator.member
}

# The pods of the Deployment use the account through Workload Identity, without a key file.
resource "google_service_account_iam_member" "workload_identity" {
  service_account_id = google_service_account.operator.name
  role               = "roles/iam.workloadIdentityUser"
  member = format(
    "serviceAccount:%s[aitenant-system/aitenant-operator]",
    coalesce(var.workload_pool, "${var.project}.svc.id.goog"),
  )
}

output "service_account" {
  description = "For the annotation iam.gke.io/gcp-service-account."
  value       = google_service_account.operator.email
}
