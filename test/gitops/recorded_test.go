// Package gitops asks the real implementations what they make of an AiTenant: kstatus, which Flux, kpt and Helm wait
// with, and the Lua that Argo CD runs its health checks in. Their answers are kept in recorded.json, so that npm test can
// compare them without Go: `go test ./...` checks the file, `go test ./... -update` writes it anew.
package gitops

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	"gopkg.in/yaml.v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

const (
	recordedFile = "recorded.json"
	settingsFile = "../../manifests/argocd/argocd-cm.yaml"
	healthKey    = "resource.customizations.health.ai-platform.dev_AiTenant"
)

var update = flag.Bool("update", false, "write "+recordedFile+" anew")

type answer struct {
	Object  map[string]any `json:"object"`
	Kstatus string         `json:"kstatus"`
	Argocd  string         `json:"argocd"`
}

func TestRecorded(t *testing.T) {
	var recorded map[string]answer
	text, err := os.ReadFile(recordedFile)
	must(t, err)
	must(t, json.Unmarshal(text, &recorded))
	script := setting(t, healthKey)

	answers := map[string]answer{}
	for name, one := range recorded {
		object := unstructured.Unstructured{Object: one.Object}
		text, err := json.Marshal(one.Object)
		must(t, err)
		// As a client reads it: whole numbers are int64.
		must(t, object.UnmarshalJSON(text))
		result, err := status.Compute(&object)
		must(t, err)
		answers[name] = answer{Object: one.Object, Kstatus: result.Status.String(), Argocd: health(t, script, object.Object)}
	}
	if *update {
		text, err := json.MarshalIndent(answers, "", "  ")
		must(t, err)
		must(t, os.WriteFile(recordedFile, append(text, '\n'), 0o644))
		return
	}
	for name, one := range answers {
		if !reflect.DeepEqual(one, recorded[name]) {
			t.Errorf("%s: %s says kstatus %s, Argo CD %s; now they are %s and %s", name, recordedFile,
				recorded[name].Kstatus, recorded[name].Argocd, one.Kstatus, one.Argocd)
		}
	}
}

// health is what the health check says of an object.
func health(t *testing.T, script string, object map[string]any) string {
	table, ok := run(t, script, object).(*lua.LTable)
	if !ok {
		t.Fatal("the script returned no table")
	}
	return table.RawGetString("status").String()
}

// run runs a script with what Argo CD gives one that has not asked for more: base, package, table, and of os the
// functions time and date, by require alone.
func run(t *testing.T, script string, object map[string]any) lua.LValue {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		must(t, state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)))
	}
	state.PreloadModule(lua.OsLibName, safeOs)
	state.SetGlobal("obj", value(state, object))
	must(t, state.DoString(script))
	return state.Get(-1)
}

func safeOs(state *lua.LState) int {
	whole := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer whole.Close()
	lua.OpenOs(whole)
	os := whole.GetGlobal(lua.OsLibName).(*lua.LTable)
	safe := state.NewTable()
	for _, name := range []string{"time", "date"} {
		safe.RawSetString(name, state.NewFunction(os.RawGetString(name).(*lua.LFunction).GFunction))
	}
	state.Push(safe)
	return 1
}

func value(state *lua.LState, any any) lua.LValue {
	switch one := any.(type) {
	case bool:
		return lua.LBool(one)
	case string:
		return lua.LString(one)
	case int64:
		return lua.LNumber(one)
	case float64:
		return lua.LNumber(one)
	case []interface{}:
		table := state.NewTable()
		for _, item := range one {
			table.Append(value(state, item))
		}
		return table
	case map[string]interface{}:
		table := state.NewTable()
		for key, item := range one {
			if text, ok := item.(string); ok && key == "lastTransitionTime" {
				item = ago(text)
			}
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}

// ago turns a recorded "10m" into the time ten minutes before now.
func ago(text string) string {
	if length, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-length).UTC().Format(time.RFC3339)
	}
	return text
}

// setting is a value of the ConfigMap argocd-cm.
func setting(t *testing.T, key string) string {
	var settings struct {
		Data map[string]string `yaml:"data"`
	}
	text, err := os.ReadFile(settingsFile)
	must(t, err)
	must(t, yaml.Unmarshal(text, &settings))
	return settings.Data[key]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
