// Writes the descriptor that present/protobuf.ts reads. See generate.sh.
//
// Output: {"kinds": {"apps/v1/Deployment": "apps.v1.Deployment"}, "messages": {"apps.v1.Deployment": ["1? metadata @meta.v1.ObjectMeta", ...]}}
// One text per field: `<number><flags> <json name> <type>`.
//
// Flags: `?` dropped when empty (omitempty without pointer), `^` inlined into the message around it.
// Types: s string, b bool, i integer, d double, B bytes, T Time, M MicroTime, Q Quantity, I IntOrString, R raw JSON,
// @name message, []t list, {}t map with string keys, =t message that only wraps `items`,
// |bool |array |strings unions of JSONSchemaProps.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	events "k8s.io/api/events/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	scheduling "k8s.io/api/scheduling/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Types whose JSON form is not their protobuf form.
var special = map[reflect.Type]string{
	reflect.TypeOf(meta.Time{}):                                  "T",
	reflect.TypeOf(meta.MicroTime{}):                             "M",
	reflect.TypeOf(resource.Quantity{}):                          "Q",
	reflect.TypeOf(intstr.IntOrString{}):                         "I",
	reflect.TypeOf(meta.FieldsV1{}):                              "R",
	reflect.TypeOf(runtime.RawExtension{}):                       "R",
	reflect.TypeOf(apiextensions.JSON{}):                         "R",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrBool{}):        "|bool",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrArray{}):       "|array",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrStringArray{}): "|strings",
}

type marshaler interface{ Marshal() ([]byte, error) }

var marshalerType = reflect.TypeOf((*marshaler)(nil)).Elem()

var messages = map[string][]string{}

func main() {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, batch.AddToScheme, networking.AddToScheme, policy.AddToScheme, rbac.AddToScheme,
		authentication.AddToScheme, authorization.AddToScheme, autoscalingv1.AddToScheme, autoscalingv2.AddToScheme,
		coordination.AddToScheme, discovery.AddToScheme, events.AddToScheme, admissionregistration.AddToScheme,
		scheduling.AddToScheme, apiextensions.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	kinds := map[string]string{}
	for gvk, goType := range scheme.AllKnownTypes() {
		isOptions := strings.HasSuffix(gvk.Kind, "Options") && gvk.Kind != "DeleteOptions"
		if gvk.Version == "__internal" || strings.HasSuffix(gvk.Kind, "List") || isOptions || gvk.Kind == "WatchEvent" || gvk.Kind == "ConversionReview" {
			continue
		}
		if gvk.Group == "" && gvk.Kind != "DeleteOptions" && strings.HasPrefix(goType.PkgPath(), "k8s.io/apimachinery") {
			continue // Status, APIGroup and so on: answers, not requests
		}
		kinds[gvk.GroupVersion().String()+"/"+gvk.Kind] = message(goType)
	}
	if len(os.Args) > 1 {
		samples(scheme, kinds, number(os.Args[1]), int(number(os.Args[2])))
		return
	}
	fmt.Printf("{\n\"kinds\": {\n%s\n},\n\"messages\": {\n%s\n}\n}\n", lines(kinds), lines(messages))
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

// lines writes one entry per line, sorted, so that a regenerated file has a readable diff.
func lines[V any](entries map[string]V) string {
	list := []string{}
	for key, value := range entries {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		list = append(list, fmt.Sprintf("%q: %s", key, text))
	}
	sort.Strings(list)
	return strings.Join(list, ",\n")
}

// message describes a struct once and returns its short name, such as core.v1.Pod.
func message(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	name := strings.Join(append(parts[len(parts)-2:], t.Name()), ".")
	if _, done := messages[name]; done {
		return name
	}
	messages[name] = nil
	fields := []string{}
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		tag := strings.Split(field.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue // TypeMeta
		}
		jsonTag := strings.Split(field.Tag.Get("json"), ",")
		options := strings.Join(jsonTag[1:], ",")
		flags := ""
		if strings.Contains(options, "omitempty") && field.Type.Kind() != reflect.Pointer {
			flags += "?"
		}
		if strings.Contains(options, "inline") {
			flags += "^"
		}
		fields = append(fields, fmt.Sprintf("%s%s %s %s", tag[1], flags, jsonTag[0], typeCode(field.Type)))
	}
	sort.Strings(fields)
	messages[name] = fields
	return name
}

func typeCode(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return typeCode(t.Elem())
	}
	if code, ok := special[t]; ok {
		return code
	}
	switch t.Kind() {
	case reflect.String:
		return "s"
	case reflect.Bool:
		return "b"
	case reflect.Int32, reflect.Int64:
		return "i"
	case reflect.Float64:
		return "d"
	case reflect.Struct:
		return "@" + message(t)
	case reflect.Map:
		return "{}" + typeCode(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "B"
		}
		code := "[]" + typeCode(t.Elem())
		if t.Name() != "" && reflect.PointerTo(t).Implements(marshalerType) {
			return "=" + code
		}
		return code
	}
	panic(fmt.Sprintf("no code for type %v", t))
}
