package words

import (
	"reflect"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Fields gives the whole record under the names of its file, which are stable.
// What the record does not say is left out; durations are text, such as `5m0s`.
func Fields(r *verify.Record) map[string]any {
	fields, _ := plainly(reflect.ValueOf(r)).(map[string]any)
	return fields
}

// plainly turns a value into maps, lists and plain values.
func plainly(v reflect.Value) any {
	if d, ok := reflect.TypeAssert[time.Duration](v); ok {
		return d.String()
	}
	switch v.Kind() { //nolint:exhaustive // all others are plain already
	case reflect.Pointer:
		return plainly(v.Elem())
	case reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			items[i] = plainly(v.Index(i))
		}
		return items
	case reflect.Struct:
		fields := map[string]any{}
		for f, one := range v.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name != "" && !one.IsZero() {
				fields[name] = plainly(one)
			}
		}
		return fields
	}
	return v.Interface()
}
