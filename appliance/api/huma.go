package api

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"griddle/appliance/account"
	"griddle/appliance/fleet"
)

// huma reads these variables at any time, and has no other place for them; nothing else sets any.
func init() {
	huma.DefaultArrayNullable = false
	huma.NewError = humaError
}

// humaConfig describes the API. huma serves neither its pages nor its formats: they load scripts from elsewhere, and
// show the document to everybody.
func humaConfig() huma.Config {
	format := huma.Format{Marshal: marshal, Unmarshal: json.Unmarshal}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			Info: &huma.Info{Title: "Griddle", Version: "1"},
			Components: &huma.Components{
				Schemas: newSchemas(),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					bearerScheme: {Type: "http", Scheme: "bearer"},
				},
			},
			Security: []map[string][]string{{bearerScheme: {}}},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format}, // and for +json
		DefaultFormat: "application/json",
	}
}

const bearerScheme = "token"

// marshal writes what is JSON already as it is. Whoever is gone does not read it, so that it never fails for that.
func marshal(w io.Writer, v any) error {
	var b []byte
	switch v := v.(type) {
	case interface{ encoded() []byte }:
		b = v.encoded()
	default:
		var err error
		if b, err = json.Marshal(v); err != nil {
			return err
		}
	}
	w.Write(append(b, '\n'))
	return nil
}

// adapter is the adapter of huma that puts its routes behind the guard.
type adapter struct{ h *Handler }

// roleKey has the role that an operation needs among its metadata.
const roleKey = "role"

// Among the metadata too: whether an operation changes nothing, and whether everyone may call it.
const (
	readsKey = "reads"
	openKey  = "open"
)

// reading marks an operation that changes nothing, though it is not a GET.
func reading(op huma.Operation) huma.Operation { return mark(op, readsKey) }

// open marks an operation that needs no token.
func open(op huma.Operation) huma.Operation {
	op.Security = []map[string][]string{}
	return mark(op, openKey)
}

func mark(op huma.Operation, key string) huma.Operation {
	op.Metadata = maps.Clone(op.Metadata)
	if op.Metadata == nil {
		op.Metadata = map[string]any{}
	}
	op.Metadata[key] = true
	return op
}

func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	role, _ := op.Metadata[roleKey].(account.Role) // without one it is closed to all
	reads, _ := op.Metadata[readsKey].(bool)
	who := Operators
	if everyone, _ := op.Metadata[openKey].(bool); everyone && role == "" {
		who = Anybody
	}
	a.h.operators = append(a.h.operators, Route{Pattern: op.Method + " " + op.Path, Who: who, Role: role,
		Reads: reads || op.Method == http.MethodGet,
		do: func(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
			if callerOf(r.Context()).h == nil { // everyone's
				r = r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{asked: askedOf(r), h: a.h,
					on: new(string)}))
			}
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			r.Header.Del("Accept") // there is one format
			handler(humago.NewContext(op, r, w))
			return nil
		}})
}

func (a adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.h.ServeHTTP(w, r) }

// callerKey is the key of the caller in the context of an operator's request.
type callerKey struct{}

// caller is who sends an operator's request.
type caller struct {
	account.Who
	asked
	h     *Handler
	on    *string      // what the call is about, for the audit log
	again func() error // says whether it still may; for calls that take long
}

// about says what a call is about, where its path does not. It must not be a secret.
func about(ctx context.Context, what string) {
	if c := callerOf(ctx); c.on != nil {
		*c.on = what
	}
}

// callerOf returns the caller of an operator's request.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// answer is what a call answers with, the status, where it is not that of its operation, and the ETag, "" for none.
type answer[T any] struct {
	status int
	tag    string
	value  T
}

// written is an answer as JSON. To huma it is a T.
type written[T any] struct{ b []byte }

func (written[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}
func (a written[T]) encoded() []byte { return a.b }

// reply is the output of an operation with a body.
type reply[T any] struct {
	Status int
	ETag   string `header:"ETag" hidden:"true"`
	Body   written[T]
}

// route registers an operation that answers with a T. In is its input: fields with tags, and sent[B] for one that takes
// a body.
func route[In, T any](h *Handler, api huma.API, op huma.Operation, role account.Role,
	do func(context.Context, *In) (T, error)) {
	routeAnswer(h, api, op, role, func(ctx context.Context, in *In) (out answer[T], err error) {
		out.value, err = do(ctx, in)
		return out, err
	})
}

// routeAnswer is route for one that answers with several statuses.
func routeAnswer[In, T any](h *Handler, api huma.API, op huma.Operation, role account.Role,
	do func(context.Context, *In) (answer[T], error)) {
	register(api, op, role, func(ctx context.Context, in *In) (*reply[T], error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, h.refusal(ctx, err)
		}
		b, err := json.Marshal(out.value)
		if err != nil {
			return nil, h.refusal(ctx, err)
		}
		if out.status == 0 {
			out.status = max(op.DefaultStatus, http.StatusOK)
		}
		return &reply[T]{out.status, out.tag, written[T]{b}}, nil
	})
}

// routeEmpty registers an operation that answers 204.
func routeEmpty[In any](h *Handler, api huma.API, op huma.Operation, role account.Role,
	do func(context.Context, *In) error) {
	op.DefaultStatus = http.StatusNoContent
	register(api, op, role, func(ctx context.Context, in *In) (*struct{}, error) {
		if err := do(ctx, in); err != nil {
			return nil, h.refusal(ctx, err)
		}
		return nil, nil
	})
}

func register[In, Out any](api huma.API, op huma.Operation, role account.Role,
	do func(context.Context, *In) (*Out, error)) {
	op = mark(op, roleKey)
	op.Metadata[roleKey] = role
	if role != "" {
		op.Extensions = map[string]any{"x-role": role}
	}
	var content *huma.RequestBody
	if b, ok := any(new(In)).(interface {
		content(huma.Registry) *huma.Schema
	}); ok {
		content = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: b.content(api.OpenAPI().Components.Schemas)}}}
	}
	huma.Register(api, op, do)
	if content != nil { // afterwards: of what is there before, huma reads the body itself
		item := api.OpenAPI().Paths[op.Path]
		for _, of := range []*huma.Operation{item.Post, item.Put, item.Patch} {
			if of != nil && of.Method == op.Method {
				of.RequestBody = content
			}
		}
	}
}

// sent is a part of an input: the body, which decode reads.
type sent[T any] struct{ body T }

// Resolve implements huma.Resolver.
func (s *sent[T]) Resolve(ctx huma.Context) []error {
	r, w := humago.Unwrap(ctx)
	if err := decode(w, r, true, &s.body); err != nil {
		c := callerOf(ctx.Context())
		return []error{(*refused)(c.h.problem(ctx.Context(), c.asked, w.Header(), err))}
	}
	return nil
}

// content is the schema of the body.
func (*sent[T]) content(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}
