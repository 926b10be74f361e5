// The manual's steps with Google's own Go clients (REST).
package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"time"

	iampb "cloud.google.com/go/iam/apiv1/iampb"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/googleapi"
	iamadmin "google.golang.org/api/iam/v1"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func must[T any](what string) func(T, error) T {
	return func(v T, err error) T {
		if err != nil {
			fmt.Println("BAD ", what, err)
			os.Exit(1)
		}
		fmt.Println("ok  ", what)
		return v
	}
}

func check(what string, holds bool) {
	if !holds {
		fmt.Println("BAD ", what)
		os.Exit(1)
	}
	fmt.Println("ok  ", what)
}

func main() {
	ctx, ep, project := context.Background(), os.Args[1], "demo-project"
	opts := []option.ClientOption{option.WithEndpoint(ep), option.WithoutAuthentication()}
	parent := "projects/" + project
	iam := must[*iamadmin.Service]("iam")(iamadmin.NewService(ctx, append([]option.ClientOption{option.WithEndpoint(ep + "/")}, option.WithoutAuthentication())...))
	sa := must[*iamadmin.ServiceAccount]("account")(iam.Projects.ServiceAccounts.Create(parent, &iamadmin.CreateServiceAccountRequest{AccountId: "sa-tenant-go", ServiceAccount: &iamadmin.ServiceAccount{DisplayName: "AI tenant g"}}).Do())
	for i := 0; i < 60; i++ {
		if _, err := iam.Projects.ServiceAccounts.Get(sa.Name).Do(); err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	_, err := iam.Projects.ServiceAccounts.Create(parent, &iamadmin.CreateServiceAccountRequest{AccountId: "sa-tenant-go"}).Do()
	var ge *googleapi.Error
	check("twice", errors.As(err, &ge) && ge.Code == 409)
	sm := must[*secretmanager.Client]("sm")(secretmanager.NewRESTClient(ctx, opts...))
	sec := must[*secretmanagerpb.Secret]("secret")(sm.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{Parent: parent, SecretId: "tenant-go-openai-key", Secret: &secretmanagerpb.Secret{Replication: &secretmanagerpb.Replication{Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}}}}}))
	data := []byte("sk-local")
	sum := int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	must[*secretmanagerpb.SecretVersion]("version")(sm.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{Parent: sec.Name, Payload: &secretmanagerpb.SecretPayload{Data: data, DataCrc32C: &sum}}))
	got := must[*secretmanagerpb.AccessSecretVersionResponse]("access")(sm.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: sec.Name + "/versions/latest"}))
	check("same", string(got.Payload.Data) == "sk-local")
	must[*secretmanagerpb.Secret]("labels")(sm.UpdateSecret(ctx, &secretmanagerpb.UpdateSecretRequest{Secret: &secretmanagerpb.Secret{Name: sec.Name, Labels: map[string]string{"a": "b"}}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}}}))
	svcs := must[*run.ServicesClient]("run")(run.NewServicesRESTClient(ctx, opts...))
	loc := parent + "/locations/asia-northeast1"
	op := must[*run.CreateServiceOperation]("create")(svcs.CreateService(ctx, &runpb.CreateServiceRequest{Parent: loc, ServiceId: "ai-platform-tenant-go", Service: &runpb.Service{Template: &runpb.RevisionTemplate{ServiceAccount: sa.Email, Timeout: durationpb.New(300 * time.Second), Scaling: &runpb.RevisionScaling{MaxInstanceCount: 10}, Containers: []*runpb.Container{{Image: "gcr.io/cloudrun/hello", Resources: &runpb.ResourceRequirements{Limits: map[string]string{"cpu": "1", "memory": "1Gi"}}}}}}}))
	s := must[*runpb.Service]("service")(op.Wait(ctx))
	must[*iampb.Policy]("public")(svcs.SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{Resource: s.Name, Policy: &iampb.Policy{Bindings: []*iampb.Binding{{Role: "roles/run.invoker", Members: []string{"allUsers"}}}}}))
	s.Template.Containers[0].Image = "asia-docker.pkg.dev/demo-project/repo/ai-backend:v1"
	up := must[*run.UpdateServiceOperation]("update")(svcs.UpdateService(ctx, &runpb.UpdateServiceRequest{Service: s}))
	s = must[*runpb.Service]("backend")(up.Wait(ctx))
	resp := must[*http.Response]("health")(http.Get(s.Uri + "/health"))
	body, _ := io.ReadAll(resp.Body)
	fmt.Println("ok  ", string(body))
	it := svcs.ListServices(ctx, &runpb.ListServicesRequest{Parent: loc})
	n := 0
	for {
		if _, err := it.Next(); err == iterator.Done {
			break
		} else if err != nil {
			check(err.Error(), false)
			break
		}
		n++
	}
	check("services", n > 0)
	_, err = svcs.GetService(ctx, &runpb.GetServiceRequest{Name: loc + "/services/no"})
	check("absent", errors.As(err, &ge) && ge.Code == 404)
	del := must[*run.DeleteServiceOperation]("delete")(svcs.DeleteService(ctx, &runpb.DeleteServiceRequest{Name: s.Name}))
	must[*runpb.Service]("deleted")(del.Wait(ctx))
	if err := sm.DeleteSecret(ctx, &secretmanagerpb.DeleteSecretRequest{Name: sec.Name}); err != nil {
		check(err.Error(), false)
	}
	must[*iamadmin.Empty]("gone")(iam.Projects.ServiceAccounts.Delete(sa.Name).Do())
}
