package job

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	conf, err := PinnedTLS(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(s.URL+"/", conf)
}

func TestClient(t *testing.T) {
	var calls []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls = append(calls, fmt.Sprintf("%s %s [%s] %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), body))
		switch r.URL.Path {
		case HelloPath:
			io.WriteString(w, `{"token":"T","machine":"m","future":1}`)
		case EventsPath:
			io.WriteString(w, `{"seq":7}`)
		}
	})
	if w, err := c.Hello(t.Context(), Hello{Boot: "b",
		Identity: Identity{MACs: []string{"52:54:00:00:00:0A", "junk"}}}); err != nil || w.Machine != "m" {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	if a, err := c.Events(t.Context(), Events{Boot: "b"}); err != nil || a.Seq != 7 {
		t.Fatalf("Events() = %+v, %v", a, err)
	}
	want := []string{
		`POST /v1/agent/hello [] ` +
			`{"boot":"b","agent":"","identity":{"macs":["52:54:00:00:00:0a"]},"inventory":{"disks":null}}`,
		`POST /v1/agent/events [Bearer T] {"boot":"b","events":null}`,
	}
	if strings.Join(calls, "\n") != strings.Join(want, "\n") {
		t.Errorf("the server heard\n%s\nwant\n%s", strings.Join(calls, "\n"), strings.Join(want, "\n"))
	}
}

func TestClientErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		says   string
		retry  bool
	}{
		{"refused with a reason", 409, `{"detail":"machine has a\u001b[31m job"}`, "machine has a [31m job", false},
		{"refused without one", 403, "<html>", "403 Forbidden", false},
		{"broken", 500, "", "500 Internal", true},
		{"busy", 429, "", "429", true},
		{"redirect", 307, "", "307", false},
		{"not JSON", 200, "hello", "reading the reply", true},
		{"endless", 200, strings.Repeat(" ", MaxReply+1), "more than", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			_, err := client.Hello(t.Context(), Hello{})
			if err == nil || !strings.Contains(err.Error(), c.says) || Retryable(err) != c.retry {
				t.Errorf("Hello() = %v, retryable %v, want %q, %v", err, Retryable(err), c.says, c.retry)
			}
		})
	}
}

// TestClientPins meets a server whose certificate another CA signed.
func TestClientPins(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	c := serve(t, func(http.ResponseWriter, *http.Request) {})
	c.base = strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	if _, err := c.Hello(t.Context(), Hello{}); err == nil {
		t.Error("Hello() to a server with a foreign name succeeded")
	}
	if _, err := PinnedTLS([]byte("no PEM")); err == nil {
		t.Error("PinnedTLS() of no certificate succeeded")
	}
}

func TestRetryable(t *testing.T) {
	if Retryable(nil) || !Retryable(errors.New("connection refused")) {
		t.Error("Retryable() wants the network to be tried again, and success not")
	}
}

// FuzzBounded checks that what a machine says of itself fits into a request, whatever it is, and stays as it is when
// it is bounded twice.
func FuzzBounded(f *testing.F) {
	f.Add([]byte(
		`{"boot":"b","identity":{"uuid":"4C4C4544-0042-3510-8052-B4C04F4E4E32","macs":["52-54-00-00-00-0a","x"]},"inventory":{"disks":[{"model":"ü\ud800","partitions":[{}]}],"nics":[{"neighbour":{"port":"\u001b]0;x"}}]}}`))
	f.Add([]byte(`{"inventory":{"cpu":"` + strings.Repeat("ü", 200) + `"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Hello
		if json.Unmarshal(b, &h) != nil {
			return
		}
		once, err := json.Marshal(h.Bounded())
		if err != nil {
			t.Fatal(err)
		}
		twice, err := json.Marshal(h.Bounded().Bounded())
		if err != nil || !bytes.Equal(once, twice) || !utf8.Valid(once) {
			t.Errorf("Bounded() twice = %s, %v, want %s", twice, err, once)
		}
	})
}

// TestBoundedFits is the largest machine there can be.
func TestBoundedFits(t *testing.T) {
	long := strings.Repeat("<", 1000) // six bytes each in JSON
	var h Hello
	for range 1000 {
		var d Disk
		for v := range reflect.ValueOf(&d).Elem().NumField() {
			switch f := reflect.ValueOf(&d).Elem().Field(v); f.Interface().(type) {
			case string:
				f.SetString(long)
			case *Health:
				f.Set(reflect.ValueOf(&Health{State: long, Reason: long}))
			case []string:
				f.Set(reflect.ValueOf([]string{long, long, long, long}))
			}
		}
		for range 10 {
			d.Partitions = append(d.Partitions, Partition{Name: long, Type: long, Filesystem: long, Label: long,
				Variant: long, UUID: long, Unfit: long, Used: 1 << 62, Minimum: 1 << 62,
				System: long, Pool: &Pool{Images: slices.Repeat([]string{long}, 99),
					Roots: slices.Repeat([]Root{{Name: long, Image: long, Reset: Reset(long)}}, 99)}})
		}
		h.Inventory.Disks = append(h.Inventory.Disks, d)
		h.Inventory.NICs = append(h.Inventory.NICs, NIC{Name: long, MAC: long, Driver: long, Address: long,
			Neighbour: Neighbour{Switch: long, Port: long, Description: long}})
	}
	b, err := json.Marshal(h.Bounded())
	if err != nil || len(b) > MaxBody || len(h.Bounded().Inventory.Disks) != maxDisks {
		t.Errorf("Bounded() has %d disks and %d bytes, %v, want %d and at most %d", len(h.Bounded().Inventory.Disks),
			len(b), err, maxDisks, MaxBody)
	}
}
