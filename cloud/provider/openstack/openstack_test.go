package openstack_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"griddle/cloud/provider"
	"griddle/cloud/provider/openstack"
	"griddle/cloud/provider/openstack/openstackfake"
	"griddle/cloud/provider/providertest"
)

// environment is the OS_ variables of a user of the fake.
func environment(url string, changes ...string) func(string) string {
	env := map[string]string{
		"OS_AUTH_URL": url + "/identity/v3", "OS_USERNAME": openstackfake.User, "OS_PASSWORD": openstackfake.Password,
		"OS_PROJECT_NAME": "demo", "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default",
		"OS_REGION_NAME": openstackfake.Region,
	}
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env[name] = value
	}
	return func(name string) string { return env[name] }
}

func serve(t *testing.T, c *openstackfake.Cloud) string {
	t.Helper()
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return s.URL
}

func open(t *testing.T, url string, o openstack.Options) *openstack.Provider {
	t.Helper()
	var err error
	o.Credentials, err = openstack.ReadCredentials(openstack.Source{Getenv: environment(url)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := openstack.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// firewallRules reads a security group of the fake, without what every group has.
func firewallRules(c *openstackfake.Cloud, id string) []provider.Rule {
	var all []provider.Rule
	for _, r := range c.Rows("security-group-rules") {
		if r["security_group_id"] != id || r["direction"] != "ingress" || r["protocol"] == nil {
			continue
		}
		rule := provider.Rule{Protocol: r["protocol"].(string), Source: netip.MustParsePrefix("0.0.0.0/0")}
		if from, ok := r["port_range_min"].(float64); ok {
			rule.From, rule.To = uint16(from), uint16(r["port_range_max"].(float64))
		}
		if s, ok := r["remote_ip_prefix"].(string); ok {
			rule.Source = netip.MustParsePrefix(s)
		}
		all = append(all, rule)
	}
	return all
}

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name   string
		cloud  func(*openstackfake.Cloud)
		format provider.Format
	}{
		{"at once", func(*openstackfake.Cloud) {}, provider.QCOW2},
		{"in steps and pages", func(c *openstackfake.Cloud) { c.Steps, c.PageSize = 2, 2 }, provider.Raw},
		{"without volumes", func(c *openstackfake.Cloud) { c.NoVolumes = true }, provider.QCOW2},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := openstackfake.New()
			c.cloud(cloud)
			url := serve(t, cloud)
			t.Run("suite", func(t *testing.T) {
				providertest.Run(t, providertest.Options{
					Open: func(t *testing.T) provider.Provider {
						return open(t, url, openstack.Options{Format: c.format})
					},
					Size: "m1.small", Network: openstackfake.External, Processes: true,
					Rules: func(_ *testing.T, r provider.Resource) []provider.Rule {
						return firewallRules(cloud, r.ID)
					},
					Foreign: func(_ *testing.T, kind provider.Kind, stack, name string) (string, func() bool) {
						return foreign(cloud, kind, stack, name)
					},
				})
			})
			for _, collection := range []string{"networks", "subnets", "routers", "ports", "floatingips",
				"security-groups", "servers", "keypairs", "images", "volumes"} {
				for _, row := range cloud.Rows(collection) {
					if s := fmt.Sprint(row["id"]); !strings.HasPrefix(s, "foreign") && s != "ext-1" {
						t.Errorf("left over in %s: %v", collection, row)
					}
				}
			}
		})
	}
}

// foreign has somebody make something by the name that ours would have.
func foreign(c *openstackfake.Cloud, kind provider.Kind, stack, name string) (string, func() bool) {
	collections := map[provider.Kind]string{
		provider.KindNetwork: "networks", provider.KindFirewall: "security-groups", provider.KindAddress: "floatingips",
		provider.KindVolume: "volumes", provider.KindServer: "servers",
	}
	collection := collections[kind]
	if collection == "" {
		return "", nil // a key pair's name is its label
	}
	title := stack + "." + name
	if kind == provider.KindServer {
		title = name
	}
	id := c.Put(collection, map[string]any{
		"id": "foreign-" + string(kind) + "-" + title, "name": title, "description": "somebody's",
		"status": "ACTIVE", "subnets": []any{}, "metadata": map[string]any{}, "attachments": []any{},
		"size": 1.0, "tags": []any{},
	})
	return id, func() bool {
		for _, row := range c.Rows(collection) {
			if row["id"] == id {
				return true
			}
		}
		return false
	}
}

func TestRegions(t *testing.T) {
	c, err := openstack.ReadCredentials(openstack.Source{Getenv: environment(serve(t, openstackfake.New()))})
	if err != nil {
		t.Fatal(err)
	}
	got, err := openstack.Regions(t.Context(), c)
	if want := []string{openstackfake.Region}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Regions = %q, %v, want %q", got, err, want)
	}
}
