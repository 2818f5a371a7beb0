package api

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"griddle/appliance/account"
)

// golden is the document of the API, as programs in other languages read it.
const golden = "../../docs/openapi.yaml"

var update = flag.Bool("update", false, "write the document of the API again, if no client stops working by that")

// TestDocument: the document in docs is that of the code, and the code breaks no client that was made of it. After an
// addition run `make api`.
func TestDocument(t *testing.T) {
	h, err := New(Options{Admin: adminToken, Accounts: new(account.Store)})
	if err != nil {
		t.Fatal(err)
	}
	now, err := h.api.OpenAPI().YAML()
	if err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for _, b := range breaks(t, was, now) {
		t.Errorf("a client of the present API would no longer work: %s", b)
	}
	if bytes.Equal(was, now) {
		return
	}
	if !*update || t.Failed() {
		t.Fatalf("%s is not that of the code; run make api", golden)
	}
	if err := os.WriteFile(golden, now, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBreaks changes the document in ways that break a client, and in ways that do not.
func TestBreaks(t *testing.T) {
	was, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"a path goes", "  /v1/machines/{key}/relay:", "  /v1/machines/{key}/relai:", "/v1/machines/{key}/relay"},
		{"an answer loses a field", "        firstSeen:\n", "        seenFirst:\n", "firstSeen"},
		{"an answer may lack a field", "        - lastSeen\n", "", "lastSeen"},
		{"an answer's field has another type", "        claimed:\n          type: boolean",
			"        claimed:\n          type: string", "claimed"},
		{"a request must have a field", "    ReadRecovery:\n", "    ReadRecovery:\n      required:\n        - renew\n",
			"renew"},
		{"a request loses a field", "        hostname:\n          type: string\n        image:\n",
			"        host:\n          type: string\n        image:\n", "hostname"},
		{"a parameter goes", "          name: after\n", "          name: behind\n", "after"},
		{"a parameter gets a limit", "            minimum: 0\n", "            minimum: 1\n", "minimum"},
		{"a call needs another role", "x-role: viewer", "x-role: operator", "role"},
		{"an answer gets a field", "        firstSeen:\n",
			"        firstHeard:\n          type: string\n        firstSeen:\n", ""},
		{"a request may have another field", "        renew:\n          type: boolean\n      type: object\n",
			"        more:\n          type: boolean\n        renew:\n          type: boolean\n      type: object\n",
			""},
		{"a call needs less", "x-role: operator", "x-role: viewer", ""},
	} {
		now := strings.Replace(string(was), c.old, c.new, 1)
		if c.old != "" && now == string(was) {
			t.Errorf("%s: the document has no %q", c.name, c.old)
			continue
		}
		got := breaks(t, was, []byte(now))
		if (c.want == "") != (len(got) == 0) || c.want != "" && !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: breaks() = %q, want one with %q", c.name, got, c.want)
		}
	}
}

type object = map[string]any

// comparison compares two documents.
type comparison struct {
	was, now object
	seen     map[string]bool // pairs of references, and the direction
	found    []string
}

// breaks lists what of was a client relies on that now does not have.
func breaks(t *testing.T, was, now []byte) []string {
	t.Helper()
	c := comparison{seen: map[string]bool{}}
	for b, to := range map[*[]byte]*object{&was: &c.was, &now: &c.now} {
		if err := yaml.Unmarshal(*b, to); err != nil {
			t.Fatal(err)
		}
	}
	for path, item := range at(c.was, "paths") {
		for method, op := range item.(object) {
			c.operation(strings.ToUpper(method)+" "+path, op.(object), at(c.now, "paths", path, method))
		}
	}
	slices.Sort(c.found)
	return c.found
}

func (c *comparison) say(where, what string) { c.found = append(c.found, where+": "+what) }

// at is a mapping of a mapping, nil for none.
func at(o object, keys ...string) object {
	for _, k := range keys {
		o, _ = o[k].(object)
	}
	return o
}

func (c *comparison) operation(where string, was, now object) {
	if now == nil {
		c.say(where, "it is gone")
		return
	}
	if was["operationId"] != now["operationId"] {
		c.say(where, "its operationId is another one")
	}
	role := func(o object) account.Role { r, _ := o["x-role"].(string); return account.Role(r) }
	if role(now) != "" && !role(was).May(role(now)) { // without one it is for everyone
		c.say(where, "it needs another role")
	}
	parameters := func(o object) map[string]object {
		out := map[string]object{}
		all, _ := o["parameters"].([]any)
		for _, p := range all {
			p := p.(object)
			out[p["in"].(string)+" "+p["name"].(string)] = p
		}
		return out
	}
	have := parameters(now)
	for name, p := range parameters(was) {
		if have[name] == nil {
			c.say(where, "the parameter "+name+" is gone")
			continue
		}
		c.schema(where+" "+name, at(p, "schema"), at(have[name], "schema"), true)
	}
	for name, p := range have {
		if p["required"] == true && parameters(was)[name]["required"] != true {
			c.say(where, "the parameter "+name+" is required")
		}
	}
	body := func(o object) object { return at(o, "requestBody", "content", "application/json", "schema") }
	if body(was) == nil && at(now, "requestBody")["required"] == true || body(was) != nil && body(now) == nil {
		c.say(where, "whether there is a body is another thing")
	}
	c.schema(where+" body", body(was), body(now), true)
	for status, r := range at(was, "responses") {
		for kind, media := range at(r.(object), "content") {
			c.schema(where+" "+status, at(media.(object), "schema"),
				at(now, "responses", status, "content", kind, "schema"), false)
		}
		if at(now, "responses", status) == nil {
			c.say(where, "the answer "+status+" is gone")
		}
	}
}

// schema compares what a client sends or gets.
func (c *comparison) schema(where string, was, now object, sends bool) {
	if was == nil {
		return
	}
	a, _ := was["$ref"].(string)
	b, _ := now["$ref"].(string)
	if pair := a + " " + b + map[bool]string{true: " sends"}[sends]; a != "" && b != "" {
		if c.seen[pair] {
			return
		}
		c.seen[pair] = true
		where = strings.TrimPrefix(a, schemas)
	}
	was, now = follow(c.was, was), follow(c.now, now)
	if kind := now["type"]; !equal(was["type"], kind) && (was["type"] != nil || sends) {
		c.say(where, "it has another type")
		return
	}
	before, after := at(was, "properties"), at(now, "properties")
	for name, p := range before {
		if after[name] == nil {
			c.say(where, "the field "+name+" is gone")
			continue
		}
		c.schema(where+"."+name, p.(object), after[name].(object), sends)
	}
	required := func(o object) []any { all, _ := o["required"].([]any); return all }
	from, to := required(was), required(now)
	if sends {
		from, to = to, from
	}
	for _, name := range from { // what a client gets stays there; what it sends need not be more
		if !slices.Contains(to, name) {
			c.say(where, "whether the field "+name.(string)+" is required is another thing")
		}
	}
	if sends {
		c.narrower(where, was, now)
	}
	c.schema(where+"[]", at(was, "items"), at(now, "items"), sends)
	c.schema(where+"{}", at(was, "additionalProperties"), at(now, "additionalProperties"), sends)
}

// narrower says where now takes less than was.
func (c *comparison) narrower(where string, was, now object) {
	for _, limit := range []string{"minimum", "maximum", "minLength", "maxLength", "pattern", "format", "maxItems",
		"minItems"} {
		if now[limit] != nil && !equal(was[limit], now[limit]) {
			c.say(where, limit+" is another one")
		}
	}
	if may, _ := now["enum"].([]any); may != nil {
		had, _ := was["enum"].([]any)
		for _, v := range had {
			if !slices.Contains(may, v) {
				had = nil
			}
		}
		if had == nil {
			c.say(where, "some of its values are gone")
		}
	}
	if now["additionalProperties"] == false && was["additionalProperties"] != false {
		c.say(where, "it takes no other fields")
	}
}

func follow(doc, s object) object {
	if ref, ok := s["$ref"].(string); ok {
		return at(doc, "components", "schemas", strings.TrimPrefix(ref, schemas))
	}
	return s
}

// equal compares values of YAML.
func equal(a, b any) bool {
	x, _ := yaml.Marshal(a)
	y, _ := yaml.Marshal(b)
	return bytes.Equal(x, y)
}
