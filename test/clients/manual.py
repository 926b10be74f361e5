"""The manual's steps with Google's own Python clients: a line `ok …` or `BAD …` for each; exit code 1 after a BAD one."""

import sys
import time
import urllib.request

import google_crc32c
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import resourcemanager_v3, run_v2, secretmanager, service_usage_v1
from google.iam.v1 import policy_pb2
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

ENDPOINT, PROJECT, NAME = sys.argv[1], "demo-project", "tenant-py"
OPTIONS = dict(credentials=AnonymousCredentials(), transport="rest", client_options={"api_endpoint": ENDPOINT})
LOCATION = f"projects/{PROJECT}/locations/asia-northeast1"
bad = 0


def check(what, holds, value=""):
    global bad
    bad += not holds
    print("ok  " if holds else "BAD ", what, value)


def refused(what, kind, call):
    try:
        call()
        check(what, False, "was taken")
    except kind as error:
        check(what, True, type(error).__name__)


project = resourcemanager_v3.ProjectsClient(**OPTIONS).get_project(name=f"projects/{PROJECT}")
check("project", project.project_id == PROJECT, project.name)
api = service_usage_v1.ServiceUsageClient(**OPTIONS).get_service(
    request={"name": f"projects/{PROJECT}/services/run.googleapis.com"}
)
check("API", api.state == service_usage_v1.State.ENABLED, api.name)

accounts = build("iam", "v1", credentials=AnonymousCredentials(), client_options={"api_endpoint": ENDPOINT})
accounts = accounts.projects().serviceAccounts()
body = {"accountId": f"sa-{NAME}", "serviceAccount": {"displayName": "AI tenant"}}
account = accounts.create(name=f"projects/{PROJECT}", body=body).execute()
check("account", account["email"].startswith(f"sa-{NAME}@"), account["email"])
refused("account twice", HttpError, lambda: accounts.create(name=f"projects/{PROJECT}", body=body).execute())
for _ in range(60):  # A new account may answer 404 for up to a minute.
    try:
        check("account read", accounts.get(name=account["name"]).execute()["uniqueId"] == account["uniqueId"])
        break
    except HttpError:
        time.sleep(1)

secrets = secretmanager.SecretManagerServiceClient(**OPTIONS)
secret = secrets.create_secret(
    parent=f"projects/{PROJECT}", secret_id=f"{NAME}-openai-key", secret={"replication": {"automatic": {}}}
)
data = b"sk-sandbox-python"
crc = google_crc32c.Checksum(data)
payload = {"data": data, "data_crc32c": int(crc.hexdigest(), 16)}
version = secrets.add_secret_version(parent=secret.name, payload=payload)
check("version", version.name.endswith("/versions/1"), version.name)
wrong = {"data": data, "data_crc32c": 1}
refused("wrong checksum", exceptions.BadRequest, lambda: secrets.add_secret_version(parent=secret.name, payload=wrong))
check("access", secrets.access_secret_version(name=f"{secret.name}/versions/latest").payload.data == data)
changed = {"name": secret.name, "labels": {"a": "b"}, "version_aliases": {"prod": 1}}
updated = secrets.update_secret(secret=changed, update_mask={"paths": ["labels", "version_aliases"]})
check("labels", dict(updated.labels) == {"a": "b"})
policy = secrets.get_iam_policy(request={"resource": secret.name})
policy.bindings.add(role="roles/secretmanager.secretAccessor", members=[f"serviceAccount:{account['email']}"])
policy = secrets.set_iam_policy(request={"resource": secret.name, "policy": policy})
check("grant", len(policy.bindings) == 1)
for _ in range(60):  # A list may lag behind.
    listed = [one.name for one in secrets.list_secrets(parent=f"projects/{PROJECT}")]
    if secret.name in listed:
        break
    time.sleep(1)
check("secrets", secret.name in listed)

services = run_v2.ServicesClient(**OPTIONS)
container = {"image": "gcr.io/cloudrun/hello", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
template = {
    "service_account": account["email"],
    "timeout": "300s",
    "scaling": {"max_instance_count": 10},
    "containers": [container],
}
made = services.create_service(
    parent=LOCATION, service={"template": template}, service_id=f"ai-platform-{NAME}"
).result(timeout=120)
check("service", made.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED, made.uri)
public = policy_pb2.Policy(bindings=[policy_pb2.Binding(role="roles/run.invoker", members=["allUsers"])])
services.set_iam_policy(request={"resource": made.name, "policy": public})
made = services.get_service(name=made.name)
made.template.containers[0].image = f"asia-docker.pkg.dev/{PROJECT}/repo/ai-backend:v1"
key = run_v2.SecretKeySelector(secret=f"{NAME}-openai-key", version="latest")
made.template.containers[0].env.append(
    run_v2.EnvVar(name="OPENAI_API_KEY", value_source=run_v2.EnvVarSource(secret_key_ref=key))
)
made = services.update_service(service=made).result(timeout=120)
check("backend", "-00002-" in made.latest_ready_revision, made.latest_ready_revision)
check("revisions", len(list(run_v2.RevisionsClient(**OPTIONS).list_revisions(parent=made.name))) == 2)
check("services", made.name in [one.name for one in services.list_services(parent=LOCATION)])
refused("absent", exceptions.NotFound, lambda: services.get_service(name=f"{LOCATION}/services/no"))
with urllib.request.urlopen(f"{made.uri}/health") as response:
    check("health", response.status == 200, response.read().decode())

services.delete_service(name=made.name).result(timeout=120)
refused("deleted", exceptions.NotFound, lambda: services.get_service(name=made.name))
secrets.delete_secret(name=secret.name)
accounts.delete(name=account["name"]).execute()
sys.exit(bad > 0)
