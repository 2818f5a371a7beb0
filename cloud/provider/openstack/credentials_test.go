package openstack_test

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/cloud/provider"
	"griddle/cloud/provider/openstack"
	"griddle/cloud/provider/openstack/openstackfake"
)

func TestReadCredentials(t *testing.T) {
	const cloud = "clouds:\n  here:\n    auth: {auth_url: https://cloud.test/v3, username: u, project_name: " +
		"p}\n    region_name: r\n"
	for _, c := range []struct {
		name, clouds, secure string
		source               openstack.Source
		env                  []string
		want                 string // in the error; empty for none
	}{
		{name: "clouds.yaml", clouds: cloud, source: openstack.Source{Cloud: "here"}},
		{name: "OS_CLOUD", clouds: cloud, env: []string{"OS_CLOUD=here"}},
		{name: "secure.yaml", clouds: cloud, secure: "clouds: {here: {auth: {password: hush}}}\n",
			source: openstack.Source{Cloud: "here"}},
		{name: "no such cloud", clouds: cloud, source: openstack.Source{Cloud: "there"}, want: `no cloud "there"`},
		{name: "no auth", clouds: "clouds: {here: {}}\n", source: openstack.Source{Cloud: "here"}, want: "with auth"},
		{name: "no auth_url", clouds: "clouds: {here: {auth: {username: u}}}\n",
			source: openstack.Source{Cloud: "here"}, want: "no auth_url"},
		{name: "verify false", clouds: cloud + "    verify: false\n", source: openstack.Source{Cloud: "here"},
			want: "verify: false"},
		{name: "verify false beside", clouds: cloud, secure: "clouds: {here: {verify: false}}\n",
			source: openstack.Source{Cloud: "here"}, want: "verify: false"},
		{name: "no YAML", clouds: "clouds: [hush", source: openstack.Source{Cloud: "here"}, want: "not valid YAML"},
		{name: "long", clouds: strings.Repeat("#", 1<<20+1), source: openstack.Source{Cloud: "here"},
			want: "more than"},
		{name: "no file", source: openstack.Source{Cloud: "here"}, want: "no clouds.yaml"},
		{name: "environment"},
		{name: "nothing", env: []string{"OS_AUTH_URL="}, want: "OS_AUTH_URL"},
		{name: "insecure", env: []string{"OS_INSECURE=true"}, want: "OS_INSECURE"},
		{name: "no CA", source: openstack.Source{CA: "no-such-file"}, want: "no-such-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"clouds.yaml": c.clouds, "secure.yaml": c.secure} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c.source.Getenv = environment("https://cloud.test",
				append(c.env, "OS_CLIENT_CONFIG_FILE="+filepath.Join(dir, "clouds.yaml"))...)
			_, err := openstack.ReadCredentials(c.source)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("ReadCredentials = %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(openstackfake.New())
	t.Cleanup(s.Close)
	try := func(source openstack.Source) error {
		c, err := openstack.ReadCredentials(source)
		if err != nil {
			return err
		}
		_, err = openstack.New(t.Context(), openstack.Options{Credentials: c})
		return err
	}
	env := environment(s.URL)
	if err := try(openstack.Source{Getenv: env}); err == nil || errors.Is(err, provider.ErrTemporary) ||
		!strings.Contains(err.Error(), "certificate") {
		t.Errorf("New with a certificate of nobody's = %v, want that it is refused", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o644); err != nil {
		t.Fatal(err)
	}
	// The catalogue of the fake names plain HTTP on the loopback address, where this server speaks TLS alone: the
	// token is what was got.
	if err := try(openstack.Source{Getenv: env, CA: ca}); err != nil && strings.Contains(err.Error(), "certificate") {
		t.Errorf("New with the certificate to trust: %v", err)
	}
	if err := try(openstack.Source{Getenv: environment("http://192.0.2.1")}); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("New without TLS = %v, want ErrInvalid", err)
	}
}
