import com.google.api.gax.core.NoCredentialsProvider;
import com.google.cloud.run.v2.*;
import com.google.cloud.secretmanager.v1.*;
import com.google.iam.v1.*;
import com.google.protobuf.ByteString; import com.google.protobuf.FieldMask;
public class Manual {
  static void ok(String what, Object v) { System.out.println("ok   " + what + " " + v); }
  public static void main(String[] a) throws Exception {
    String ep = a[0], project = "projects/demo-project", loc = project + "/locations/asia-northeast1";
    try (SecretManagerServiceClient sm = SecretManagerServiceClient.create(SecretManagerServiceSettings.newHttpJsonBuilder().setEndpoint(ep).setCredentialsProvider(NoCredentialsProvider.create()).build())) {
      Secret s = sm.createSecret(project, "tenant-java-openai-key", Secret.newBuilder().setReplication(Replication.newBuilder().setAutomatic(Replication.Automatic.newBuilder())).build());
      ok("secret", s.getName());
      ok("version", sm.addSecretVersion(s.getName(), SecretPayload.newBuilder().setData(ByteString.copyFromUtf8("sk-local")).build()).getName());
      ok("access", sm.accessSecretVersion(s.getName() + "/versions/latest").getPayload().getData().toStringUtf8());
      ok("labels", sm.updateSecret(s.toBuilder().putLabels("a", "b").build(), FieldMask.newBuilder().addPaths("labels").build()).getLabelsMap());
      ok("grant", sm.setIamPolicy(SetIamPolicyRequest.newBuilder().setResource(s.getName()).setPolicy(Policy.newBuilder().addBindings(Binding.newBuilder().setRole("roles/secretmanager.secretAccessor").addMembers("user:a@example.com"))).build()).getBindingsCount());
      try (ServicesClient run = ServicesClient.create(ServicesSettings.newHttpJsonBuilder().setEndpoint(ep).setCredentialsProvider(NoCredentialsProvider.create()).build())) {
        Service svc = Service.newBuilder().setTemplate(RevisionTemplate.newBuilder().setScaling(RevisionScaling.newBuilder().setMaxInstanceCount(10)).addContainers(Container.newBuilder().setImage("gcr.io/cloudrun/hello").setResources(ResourceRequirements.newBuilder().putLimits("cpu", "1").putLimits("memory", "1Gi")))).build();
        Service made = run.createServiceAsync(loc, svc, "ai-platform-tenant-java").get();
        ok("service", made.getUri());
        ok("public", run.setIamPolicy(SetIamPolicyRequest.newBuilder().setResource(made.getName()).setPolicy(Policy.newBuilder().addBindings(Binding.newBuilder().setRole("roles/run.invoker").addMembers("allUsers"))).build()).getBindingsCount());
        Service next = run.getService(made.getName()).toBuilder().build();
        RevisionTemplate t = next.getTemplate();
        next = run.updateServiceAsync(next.toBuilder().setTemplate(t.toBuilder().setContainers(0, t.getContainers(0).toBuilder().setImage("asia-docker.pkg.dev/demo-project/repo/ai-backend:v1"))).build()).get();
        ok("backend", next.getLatestReadyRevision());
        int n = 0; for (Service ignored : run.listServices(loc).iterateAll()) n++;
        ok("services", n);
        try { run.getService(loc + "/services/no"); throw new AssertionError("BAD  absent"); } catch (com.google.api.gax.rpc.NotFoundException e) { ok("absent", e.getStatusCode().getCode()); }
        run.deleteServiceAsync(made.getName()).get(); ok("deleted", "");
      }
      sm.deleteSecret(s.getName()); ok("gone", "");
    }
  }
}
