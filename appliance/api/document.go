package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/setting"
)

const schemas = "#/components/schemas/"

// schemaName is the name of a type in the document: of package api as it is, of others with their package before it.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[refused]() {
		return "Problem"
	}
	name := huma.DefaultSchemaNamer(t, hint)
	pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
	if pkg == "" || pkg == "api" || strings.EqualFold(pkg, name) {
		return name
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + name
}

// settingsDocument is a setting.Document as it is sent; its values are of every shape.
type settingsDocument struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (settingsDocument) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true,
		Description: "settings, as docs/SETTINGS.md has them"}
}

// newSchemas are the schemas of the document, with stand-ins for types that huma cannot see through.
func newSchemas() huma.Registry {
	r := huma.NewMapRegistry(schemas, schemaName)
	stand := func(t, in reflect.Type) { r.RegisterTypeAlias(t, in) }
	stand(reflect.TypeFor[setting.Document](), reflect.TypeFor[settingsDocument]())
	stand(reflect.TypeFor[settingsChange](), reflect.TypeFor[SettingsChange]())
	return r
}

// describe completes the document after all operations are registered. A client must not stumble over what later
// versions add to an answer, so that only bodies of requests are closed.
func describe(doc *huma.OpenAPI) {
	r := doc.Components.Schemas
	of := func(t reflect.Type) *huma.Schema { return r.Schema(t, true, "") }
	all := r.Map()
	for _, name := range []string{"Install", "PlanLayout", "GroupChange"} {
		all[name].Properties["layout"] = of(reflect.TypeFor[layout.Document]())
	}
	all["GroupChange"].Properties["settings"] = of(reflect.TypeFor[settingsDocument]())
	all["ManySettings"].Properties["machines"].AdditionalProperties = of(reflect.TypeFor[settingsDocument]())
	problem := &huma.Response{Description: "What is wrong, and what to do (RFC 9457)",
		Content: map[string]*huma.MediaType{job.ProblemType: {Schema: of(reflect.TypeFor[refused]())}}}
	sent := map[string]bool{}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			op.Responses["default"] = problem
			if op.RequestBody != nil {
				reach(r, op.RequestBody.Content["application/json"].Schema, sent)
			}
		}
	}
	for name, s := range all {
		if !sent[name] && s.AdditionalProperties == false {
			s.AdditionalProperties = nil
		}
	}
}

// reach adds the names of all schemas that s has in it.
func reach(r huma.Registry, s *huma.Schema, to map[string]bool) {
	if s == nil {
		return
	}
	if name, ok := strings.CutPrefix(s.Ref, schemas); ok {
		if !to[name] {
			to[name] = true
			reach(r, r.SchemaFromRef(s.Ref), to)
		}
		return
	}
	reach(r, s.Items, to)
	for _, p := range s.Properties {
		reach(r, p, to)
	}
	if p, ok := s.AdditionalProperties.(*huma.Schema); ok {
		reach(r, p, to)
	}
}

// schemaOf is a reference to the schema of a T.
func schemaOf[T any](r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[T](), true, "") }

// also says that an operation answers with another status, with the same T.
func also[T any](a huma.API, op huma.Operation, status int) huma.Operation {
	op.Responses = map[string]*huma.Response{strconv.Itoa(status): {Description: http.StatusText(status),
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: schemaOf[T](a.OpenAPI().Components.Schemas)}}}}
	return op
}
