// Prints the estimated costs of the CEL expressions of a CustomResourceDefinition, as kube-apiserver computes them before it accepts one.
// Source: apiextensions-apiserver, pkg/apis/apiextensions/validation/validation.go, ValidateCustomResourceDefinitionOpenAPISchema,
// which does not print a cost that is within the limits. Reads the CRD as JSON from the standard input and writes JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// One expression: a rule, or the messageExpression of a rule.
type expression struct {
	Path string `json:"path"`
	Kind string `json:"kind"`
	Text string `json:"text"`
	Cost uint64 `json:"cost"`
}

type report struct {
	// The limits of one expression and of the sum of a version's expressions.
	ExpressionLimit uint64       `json:"expressionLimit"`
	SumLimit        uint64       `json:"sumLimit"`
	Expressions     []expression `json:"expressions"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var crd v1.CustomResourceDefinition
	if err := json.NewDecoder(os.Stdin).Decode(&crd); err != nil {
		return err
	}
	if len(crd.Spec.Versions) != 1 {
		return fmt.Errorf("the CRD has %d versions, and this program estimates one", len(crd.Spec.Versions))
	}
	var schema apiextensions.JSONSchemaProps
	given := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(given, &schema, nil); err != nil {
		return err
	}
	out := report{
		ExpressionLimit: validation.StaticEstimatedCostLimit,
		SumLimit:        validation.StaticEstimatedCRDCostLimit,
	}
	if err := out.add("", &schema, validation.RootCELContext(&schema)); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// Adds the expressions of a schema and of all schemas below it.
func (r *report) add(path string, schema *apiextensions.JSONSchemaProps, at *validation.CELSchemaContext) error {
	if err := r.addOwn(path, schema, at); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for name := range schema.Properties {
		child := schema.Properties[name]
		if err := r.add(path+"."+name, &child, at.ChildPropertyContext(&child, name)); err != nil {
			return err
		}
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		child := schema.Items.Schema
		if err := r.add(path+"[]", child, at.ChildItemsContext(child)); err != nil {
			return err
		}
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		child := schema.AdditionalProperties.Schema
		return r.add(path+"{}", child, at.ChildAdditionalPropertiesContext(child))
	}
	return nil
}

func (r *report) addOwn(path string, schema *apiextensions.JSONSchemaProps, at *validation.CELSchemaContext) error {
	if len(schema.XValidations) == 0 {
		return nil
	}
	info, err := at.TypeInfo()
	if err != nil {
		return err
	}
	compiled, err := cel.Compile(info.Schema, info.DeclType, celconfig.PerCallLimit, envSet(), cel.NewExpressionsEnvLoader())
	if err != nil {
		return err
	}
	for i, result := range compiled {
		given := schema.XValidations[i]
		if result.Error != nil {
			return fmt.Errorf("%s: %w", given.Rule, result.Error)
		}
		if result.MessageExpressionError != nil {
			return fmt.Errorf("%s: %w", given.MessageExpression, result.MessageExpressionError)
		}
		// Rules are counted once for each value that there may be, messages once.
		values := result.MaxCardinality
		if at.MaxCardinality != nil {
			values = *at.MaxCardinality
		}
		r.Expressions = append(r.Expressions, expression{path, "rule", given.Rule, times(result.MaxCost, values)})
		if result.MessageExpression != nil {
			r.Expressions = append(r.Expressions, expression{path, "messageExpression", given.MessageExpression, result.MessageExpressionMaxCost})
		}
	}
	return nil
}

// The environment of kube-apiserver. Its constructor has one parameter more in 1.31: whether extensions cost something, which they do.
func envSet() *environment.EnvSet {
	constructor := reflect.ValueOf(environment.MustBaseEnvSet)
	arguments := []reflect.Value{reflect.ValueOf(environment.DefaultCompatibilityVersion())}
	if constructor.Type().NumIn() == 2 {
		arguments = append(arguments, reflect.ValueOf(true))
	}
	return constructor.Call(arguments)[0].Interface().(*environment.EnvSet)
}

// The product. A double is exact enough where it would overflow, and far above every limit.
func times(cost, values uint64) uint64 {
	if product := float64(cost) * float64(values); product > 1e18 {
		return 1e18
	}
	return cost * values
}
