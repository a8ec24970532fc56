package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"sort"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// samples prints one object per kind, made from a seed, as {"protobuf": base64, "object": what Go writes as JSON}.
// `depth` bounds how deep structs are filled.
func samples(scheme *runtime.Scheme, kinds map[string]string, seed int64, depth int) {
	names := []string{}
	for name := range kinds {
		names = append(names, name)
	}
	sort.Strings(names)
	random := rand.New(rand.NewSource(seed))
	encoder := protobuf.NewSerializer(scheme, scheme)
	for _, name := range names {
		gvk := kindOf(scheme, name)
		object, err := scheme.New(gvk)
		if err != nil {
			panic(err)
		}
		fill(random, reflect.ValueOf(object).Elem(), depth)
		object.GetObjectKind().SetGroupVersionKind(gvk)
		encoded, err := runtime.Encode(encoder, object)
		if err != nil {
			panic(err)
		}
		text, err := json.Marshal(object)
		if err != nil {
			panic(err)
		}
		fmt.Printf("{\"protobuf\":%q,\"object\":%s}\n", base64.StdEncoding.EncodeToString(encoded), text)
	}
}

func kindOf(scheme *runtime.Scheme, name string) schema.GroupVersionKind {
	for gvk := range scheme.AllKnownTypes() {
		if gvk.GroupVersion().String()+"/"+gvk.Kind == name {
			return gvk
		}
	}
	panic(name)
}

func fill(random *rand.Rand, value reflect.Value, depth int) {
	switch filled := value.Addr().Interface().(type) {
	case *meta.TypeMeta:
		return
	case *meta.Time:
		*filled = meta.NewTime(time.Unix(random.Int63n(4e9), 0).UTC())
		return
	case *meta.MicroTime:
		*filled = meta.NewMicroTime(time.Unix(random.Int63n(4e9), random.Int63n(1e6)*1000).UTC())
		return
	case *resource.Quantity:
		*filled = *resource.NewMilliQuantity(random.Int63n(1e6), resource.DecimalSI)
		return
	case *intstr.IntOrString:
		*filled = intstr.FromInt32(random.Int31n(65536))
		if random.Intn(2) == 0 {
			*filled = intstr.FromString("name")
		}
		return
	case *meta.FieldsV1:
		filled.Raw = []byte(`{"f:metadata":{"f:labels":{}}}`)
		return
	case *runtime.RawExtension:
		filled.Raw = []byte(`{"kind":"X","n":[1,null]}`)
		return
	case *apiextensions.JSON:
		filled.Raw = []byte(`{"a":1.5}`)
		return
	}
	if random.Intn(8) == 0 {
		return // a zero value now and then
	}
	fillKind(random, value, depth)
}

func fillKind(random *rand.Rand, value reflect.Value, depth int) {
	switch value.Kind() {
	case reflect.String:
		value.SetString([]string{"text", "grüße ☃", "0"}[random.Intn(3)])
	case reflect.Bool:
		value.SetBool(random.Intn(2) == 0)
	case reflect.Int32, reflect.Int64:
		value.SetInt(int64(random.Int31()) - 1<<30)
	case reflect.Float64:
		value.SetFloat(random.Float64() * 1000)
	case reflect.Pointer:
		if depth > 0 {
			value.Set(reflect.New(value.Type().Elem()))
			fill(random, value.Elem(), depth-1)
		}
	case reflect.Struct:
		for i := 0; i < value.NumField() && depth > 0; i++ {
			fill(random, value.Field(i), depth-1)
		}
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			value.SetBytes([]byte{0, 1, 0xff, byte(random.Intn(256))})
			return
		}
		for i := random.Intn(3); i > 0 && depth > 0; i-- {
			element := reflect.New(value.Type().Elem()).Elem()
			fill(random, element, depth-1)
			value.Set(reflect.Append(value, element))
		}
	case reflect.Map:
		value.Set(reflect.MakeMap(value.Type()))
		for i := random.Intn(3); i > 0 && depth > 0; i-- {
			element := reflect.New(value.Type().Elem()).Elem()
			fill(random, element, depth-1)
			value.SetMapIndex(reflect.ValueOf(fmt.Sprintf("key-%d", i)).Convert(value.Type().Key()), element)
		}
	}
}
