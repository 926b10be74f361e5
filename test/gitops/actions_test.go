package gitops

import (
	"regexp"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"gopkg.in/yaml.v2"
)

const actionsKey = "resource.customizations.actions.ai-platform.dev_AiTenant"

type actions struct {
	Discovery   string `yaml:"discovery.lua"`
	Definitions []struct {
		Name   string `yaml:"name"`
		Action string `yaml:"action.lua"`
	} `yaml:"definitions"`
}

func readActions(t *testing.T) actions {
	var found actions
	must(t, yaml.Unmarshal([]byte(setting(t, actionsKey)), &found))
	return found
}

// tenant is an AiTenant with this spec and these annotations; nil: it has none.
func tenant(spec map[string]any, annotations map[string]any) map[string]any {
	metadata := map[string]any{"name": "a"}
	if annotations != nil {
		metadata["annotations"] = annotations
	}
	return map[string]any{"metadata": metadata, "spec": spec}
}

// at is the value at a path, nil if there is none.
func at(value lua.LValue, path ...string) lua.LValue {
	for _, name := range path {
		table, ok := value.(*lua.LTable)
		if !ok {
			return lua.LNil
		}
		value = table.RawGetString(name)
	}
	return value
}

func TestEachActionIsOfferedWhereItHasAnEffect(t *testing.T) {
	deleting := tenant(map[string]any{}, nil)
	deleting["metadata"].(map[string]any)["deletionTimestamp"] = "2030-01-01T00:00:00Z"
	for name, one := range map[string]struct {
		object   map[string]any
		disabled map[string]bool
	}{
		"a tenant": {tenant(map[string]any{"suspend": false}, nil), map[string]bool{"resume": true}},
		"a suspended one": {
			tenant(map[string]any{"suspend": true}, nil), map[string]bool{"suspend": true, "reconcile": true},
		},
		"an abandoned one": {
			tenant(map[string]any{}, map[string]any{"ai-platform.dev/deletion-policy": "abandon"}),
			map[string]bool{"resume": true, "abandon": true},
		},
		"one in deletion": {deleting, map[string]bool{"resume": true, "reconcile": true}},
	} {
		offered := run(t, readActions(t).Discovery, one.object)
		for _, action := range readActions(t).Definitions {
			disabled := at(offered, action.Name, "disabled")
			if disabled.Type() != lua.LTBool || (disabled == lua.LTrue) != one.disabled[action.Name] {
				t.Errorf("%s: %s is disabled: %s", name, action.Name, disabled)
			}
		}
	}
}

func TestEachActionChangesOneField(t *testing.T) {
	results := map[string]lua.LValue{}
	for _, action := range readActions(t).Definitions {
		for _, annotations := range []map[string]any{nil, {"other": "stays"}} {
			result := run(t, action.Action, tenant(map[string]any{"region": "asia-northeast1", "suspend": true}, annotations))
			if at(result, "spec", "region") != lua.LString("asia-northeast1") {
				t.Errorf("%s loses the spec", action.Name)
			}
			if annotations != nil && at(result, "metadata", "annotations", "other") != lua.LString("stays") {
				t.Errorf("%s loses an annotation", action.Name)
			}
			results[action.Name] = result
		}
	}
	if got := at(results["suspend"], "spec", "suspend"); got != lua.LTrue {
		t.Errorf("suspend: %s", got)
	}
	if got := at(results["resume"], "spec", "suspend"); got != lua.LNil {
		t.Errorf("resume: %s", got)
	}
	requested := at(results["reconcile"], "metadata", "annotations", "ai-platform.dev/reconcile-requested-at").String()
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(requested) {
		t.Errorf("reconcile: %s", requested)
	}
	policy := at(results["abandon"], "metadata", "annotations", "ai-platform.dev/deletion-policy")
	if policy != lua.LString("abandon") {
		t.Errorf("abandon: %s", policy)
	}
}
