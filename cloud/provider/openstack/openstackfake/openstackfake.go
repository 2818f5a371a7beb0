// Package openstackfake is an OpenStack cloud in memory, for tests: keystone, glance, nova, neutron and cinder as far
// as package openstack uses them, with their states, conflicts and quotas, and with faults on demand.
//
// Call New, serve the Cloud by net/http/httptest, and log in as User with Password at URL/identity/v3. It proves
// that requests and answers fit together and what happens when they fail; what the real services do is seen by
// package openstacktest alone.
package openstackfake

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Who may log in, and to what.
const (
	User     = "griddle"
	Password = "correct-horse"
	Project  = "p1"
	Region   = "RegionOne"
	External = "public" // the external network
)

// Fault is what a request meets instead of, or after, being done.
type Fault struct {
	Status int // of the answer; 0 for none, where Drop is set
	Header map[string]string
	Body   string
	After  bool // it is done first: only the answer is lost
	Drop   bool // the connection is closed without an answer
}

// Cloud is an http.Handler. Its fields are set before it is served.
type Cloud struct {
	NoVolumes bool // the catalogue has no volume service
	PageSize  int  // most rows of one answer; 0 for all
	Steps     int  // how often a server or volume is looked at until it is what it becomes
	Quota     map[string]int
	Corrupt   bool // glance stores other bytes than it was sent

	mu     sync.Mutex
	hook   func(*http.Request) *Fault
	mux    *http.ServeMux
	tables map[string]*table
	tokens map[string]bool
	later  map[string]*change
	serial int
	calls  []string
}

// object is a JSON object.
type object = map[string]any

// table is the rows of one collection, in the order in which they were made.
type table struct {
	order []string
	rows  map[string]object
}

// change is what becomes of a row after it was looked at so often.
type change struct {
	looks int
	do    func()
}

// problem is an answer that is no success.
type problem struct {
	status     int
	name, text string
}

// New makes a cloud with an external network and three flavors.
func New() *Cloud {
	c := &Cloud{
		mux: http.NewServeMux(), tables: make(map[string]*table), tokens: make(map[string]bool),
		later: make(map[string]*change), Quota: make(map[string]int),
	}
	c.insert("networks", object{"id": "ext-1", "name": External, "router:external": true, "status": "ACTIVE",
		"subnets": []any{}, "project_id": "admin"})
	for i, f := range []object{
		{"name": "m1.tiny", "ram": 512, "vcpus": 1, "disk": 1},
		{"name": "m1.small", "ram": 2048, "vcpus": 1, "disk": 20},
		{"name": "m1.large", "ram": 8192, "vcpus": 4, "disk": 80},
	} {
		f["id"] = strconv.Itoa(i + 1)
		c.insert("flavors", f)
	}
	c.identity()
	c.images()
	c.compute()
	c.network()
	c.volumes()
	return c
}

// Hook has f say of each request, from now on, whether it meets a fault; nil for none. f can be called side by side,
// and may wait, as a server does that does not answer.
func (c *Cloud) Hook(f func(*http.Request) *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = f
}

// Expire has every token be refused from now on.
func (c *Cloud) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tokens)
}

// Calls returns the requests so far, each as "METHOD path".
func (c *Cloud) Calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Put makes a row, as another user would, and returns its ID.
func (c *Cloud) Put(collection string, row map[string]any) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.insert(collection, maps.Clone(row))
}

// Rows returns a copy of a collection: networks, subnets, routers, ports, floatingips, security-groups,
// security-group-rules, servers, keypairs, images or volumes.
func (c *Cloud) Rows(collection string) []map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []map[string]any
	for _, row := range c.rows(collection) {
		all = append(all, maps.Clone(row))
	}
	return all
}

// Delete deletes a row by hand.
func (c *Cloud) Delete(collection, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(collection, id)
}

// Change changes a row by hand.
func (c *Cloud) Change(collection, id string, with map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.get(collection, id), with)
}

// handler does a request; the answer is a problem, or what is written as JSON, or nil.
type handler func(r *http.Request, body object) (status int, answer any)

// handle serves a pattern of http.ServeMux to who has a token.
func (c *Cloud) handle(pattern string, h handler) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body := object{}
		if strings.Contains(r.Header.Get("Content-Type"), "json") {
			b, err := io.ReadAll(r.Body)
			if err == nil && len(b) > 0 {
				if b[0] == '[' {
					var list []any
					err = json.Unmarshal(b, &list)
					body["list"] = list
				} else {
					err = json.Unmarshal(b, &body)
				}
			}
			if err != nil {
				write(w, 400, problem{400, "badRequest", err.Error()})
				return
			}
		}
		c.mu.Lock()
		if !c.tokens[r.Header.Get("X-Auth-Token")] {
			c.mu.Unlock()
			write(w, 401, problem{401, "error", "The request you have made requires authentication."})
			return
		}
		status, answer := h(r, body)
		c.mu.Unlock()
		write(w, status, answer)
	})
}

func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	if p, ok := answer.(problem); ok {
		w.WriteHeader(p.status)
		json.NewEncoder(w).Encode(object{p.name: object{"message": p.text, "code": p.status}})
		return
	}
	w.WriteHeader(status)
	if answer != nil {
		json.NewEncoder(w).Encode(answer)
	}
}

// ServeHTTP implements http.Handler.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	hook := c.hook
	c.calls = append(c.calls, r.Method+" "+r.URL.Path)
	c.mu.Unlock()
	var f *Fault
	if hook != nil {
		f = hook(r)
	}
	if f == nil {
		c.mux.ServeHTTP(w, r)
		return
	}
	if f.After {
		c.mux.ServeHTTP(&lost{}, r)
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	for k, v := range f.Header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(f.Status)
	io.WriteString(w, f.Body)
}

// lost is an answer that nobody gets.
type lost struct{ header http.Header }

func (l *lost) Header() http.Header {
	if l.header == nil {
		l.header = make(http.Header)
	}
	return l.header
}
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }
func (l *lost) WriteHeader(int)             {}

func (c *Cloud) table(name string) *table {
	t := c.tables[name]
	if t == nil {
		t = &table{rows: make(map[string]object)}
		c.tables[name] = t
	}
	return t
}

// insert adds a row, and gives it an ID and a date where it has none.
func (c *Cloud) insert(collection string, row object) string {
	c.serial++
	id, _ := row["id"].(string)
	if id == "" {
		id = fmt.Sprintf("%s-%08d", strings.TrimSuffix(collection, "s"), c.serial)
		row["id"] = id
	}
	if row["project_id"] == nil {
		row["project_id"] = Project
	}
	t := c.table(collection)
	t.order = append(t.order, id)
	t.rows[id] = row
	return id
}

func (c *Cloud) get(collection, id string) object { return c.table(collection).rows[id] }

func (c *Cloud) remove(collection, id string) {
	t := c.table(collection)
	delete(t.rows, id)
	t.order = slices.DeleteFunc(t.order, func(o string) bool { return o == id })
}

func (c *Cloud) rows(collection string) []object {
	t := c.table(collection)
	var all []object
	for _, id := range t.order {
		all = append(all, t.rows[id])
	}
	return all
}

// full says whether a quota is used up.
func (c *Cloud) full(collection string) bool {
	most, set := c.Quota[collection]
	return set && len(c.rows(collection)) >= most
}

// soon does something to a row after it was looked at Steps times.
func (c *Cloud) soon(id string, do func()) {
	delete(c.later, id)
	if c.Steps == 0 {
		do()
		return
	}
	c.later[id] = &change{c.Steps, do}
}

// look counts a look at a row.
func (c *Cloud) look(id string) {
	l := c.later[id]
	if l == nil {
		return
	}
	if l.looks--; l.looks < 0 {
		delete(c.later, id)
		l.do()
	}
}

// page cuts rows to what an answer has, from the row after marker, and says where the next begins; empty for the last.
func (c *Cloud) page(r *http.Request, rows []object) (some []object, next string) {
	if marker := r.URL.Query().Get("marker"); marker != "" {
		i := slices.IndexFunc(rows, func(o object) bool { return o["id"] == marker })
		rows = rows[i+1:]
	}
	if c.PageSize > 0 && len(rows) > c.PageSize {
		rows = rows[:c.PageSize]
		q := r.URL.Query()
		q.Set("marker", rows[len(rows)-1]["id"].(string))
		next = r.URL.Path + "?" + q.Encode()
	}
	if rows == nil {
		rows = []object{}
	}
	return rows, next
}

// linked is a page as nova, neutron and cinder write it.
func (c *Cloud) linked(r *http.Request, name string, rows []object) object {
	some, next := c.page(r, rows)
	o := object{name: some}
	if next != "" {
		o[name+"_links"] = []object{{"rel": "next", "href": "http://" + r.Host + next}}
	}
	return o
}

// now is a date as the services write it, without a zone.
func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05") }

func text(o object, key string) string {
	s, _ := o[key].(string)
	return s
}

func inner(o object, key string) object {
	i, _ := o[key].(object)
	if i == nil {
		i = object{}
	}
	return i
}
