package ec2_test

import (
	"encoding/pem"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/ec2"
	"griddle/cloud/provider/ec2/ec2fake"
	"griddle/cloud/provider/providertest"
)

// secret is in no error and no log.
const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

// world is a fake that is served, and credentials for it in the environment.
func world(t *testing.T, f *ec2fake.Fake) ec2.Options {
	t.Helper()
	return worldOf(t, f)
}

func worldOf(t *testing.T, f http.Handler) ec2.Options {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": ec2fake.AccessKey, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_REGION": "xx-test-1", "AWS_CONFIG_FILE": "/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = log.New(t.Output(), "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return ec2.Options{Endpoint: s.URL, CA: ca, Poll: time.Millisecond, Backoff: time.Millisecond, Parallel: 4}
}

func open(t *testing.T, o ec2.Options) *ec2.Provider {
	t.Helper()
	p, err := ec2.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProvider(t *testing.T) {
	for _, c := range []struct {
		name string
		fake func(*ec2fake.Fake)
	}{
		{"at once", func(*ec2fake.Fake) {}},
		{"in steps, small pages, late to show", func(f *ec2fake.Fake) { f.Steps, f.Page, f.Lag = 2, 2, 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := ec2fake.New()
			c.fake(f)
			o := world(t, f)
			t.Cleanup(func() { // after the suite's own
				for _, resource := range f.All() {
					if resource.Type != "instance" || resource.State != "terminated" {
						t.Errorf("left over: %+v", resource)
					}
				}
			})
			providertest.Run(t, providertest.Options{
				Open: func(t *testing.T) provider.Provider { return open(t, o) },
				Size: "t3.small", Poll: time.Millisecond, Processes: true,
				Rules: func(_ *testing.T, r provider.Resource) []provider.Rule { return f.Rules(r.ID) },
				Foreign: func(t *testing.T, kind provider.Kind, stack, name string) (string, func() bool) {
					return foreign(f, kind, stack, name)
				},
			})
		})
	}
}

// foreign makes what bears the name that ours would have. Names of other kinds are tags alone.
func foreign(f *ec2fake.Fake, kind provider.Kind, stack, name string) (string, func() bool) {
	made, vpc := "", ""
	switch kind {
	case provider.KindKey:
		made = "key-pair"
	case provider.KindFirewall:
		made = "security-group"
		for _, v := range f.Of("vpc") {
			if v.Tags[provider.LabelStack] == stack {
				vpc = v.ID
			}
		}
	default:
		return "", nil
	}
	id := f.Foreign(made, "griddle/"+stack+"/"+name, vpc)
	return id, func() bool {
		for _, resource := range f.Of(made) {
			if resource.ID == id {
				f.Delete(id) // the suite takes only its own things away
				return true
			}
		}
		return false
	}
}

func TestRegions(t *testing.T) {
	o := world(t, ec2fake.New())
	t.Setenv("AWS_REGION", "")
	got, err := ec2.Regions(t.Context(), o)
	if want := []string{"xx-test-1", "xx-test-2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Regions = %q, %v, want %q", got, err, want)
	}
}
