//go:build cloud

package openstacktest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/openstack"
	"griddle/cloud/provider/openstack/openstacktest"
	"griddle/cloud/provider/providertest"
)

// inside is set where this program was started again in the cloud's network.
const inside = "GRIDDLE_OPENSTACK_INSIDE"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(inside) != "" || !wanted(flag.Lookup("test.run").Value.String()) {
		os.Exit(m.Run())
	}
	os.Exit(outside())
}

// wanted says whether -run asks for any test here: a cloud takes minutes to start.
func wanted(run string) bool {
	top, _, _ := strings.Cut(run, "/")
	asked, err := regexp.Compile(top)
	return err != nil || asked.MatchString("TestConformance") || asked.MatchString("TestUpload")
}

// outside starts the cloud, and this program again in its network.
func outside() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, tool := range []string{"mmdebstrap", "unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(os.Stderr, "%v; run make deps\n", err)
			return 1
		}
	}
	home, err := os.UserCacheDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cache := filepath.Join(home, "griddle")
	c, err := openstacktest.Start(ctx, cache, filepath.Join(cache, "openstack-logs"), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := c.Inside(ctx, os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	if err2 := c.Stop(); err2 != nil {
		fmt.Fprintln(os.Stderr, "ending OpenStack:", err2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func open(t *testing.T, f provider.Format) *openstack.Provider {
	t.Helper()
	env := map[string]string{
		"OS_AUTH_URL": openstacktest.URL, "OS_USERNAME": openstacktest.User, "OS_PASSWORD": openstacktest.Password,
		"OS_PROJECT_NAME": openstacktest.Project, "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default",
		"OS_REGION_NAME": openstacktest.Region,
	}
	c, err := openstack.ReadCredentials(openstack.Source{Getenv: func(name string) string { return env[name] }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := openstack.New(t.Context(), openstack.Options{Credentials: c, Format: f})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConformance(t *testing.T) {
	if why := open(t, provider.QCOW2).Features().Lacks[provider.KindVolume]; why == "" {
		t.Error("there is no cinder, and volumes are not said to be lacking")
	}
	providertest.Run(t, providertest.Options{
		Open: func(t *testing.T) provider.Provider { return open(t, provider.QCOW2) },
		Size: openstacktest.Size, Network: openstacktest.External, Timeout: 4 * time.Minute,
		Poll: time.Second, Processes: true,
	})
}

// noise is an image in memory.
type noise struct{ *bytes.Reader }

func (noise) Close() error { return nil }

// TestUpload sends an image of some size. Glance says what it stored, and the provider compares.
func TestUpload(t *testing.T) {
	const size = 64 << 20
	b := make([]byte, size)
	rand.Read(b)
	sum := sha256.Sum256(b)
	p := open(t, provider.Raw)
	w := &provider.Image{
		Name: "noise-1-amd64", Digest: "sha256:" + hex.EncodeToString(sum[:]), Format: provider.Raw, Arch: "amd64",
		Size: size, Virtual: size, UEFI: true,
		Open: func() (provider.Contents, error) { return noise{bytes.NewReader(b)}, nil },
	}
	r, err := p.Ensure(t.Context(), w)
	if err != nil || r.State != provider.Ready || r.Size != size || r.Digest != w.Digest {
		t.Fatalf("Ensure = %+v, %v", r, err)
	}
	all, err := p.List(t.Context(), "")
	if err != nil || len(all) != 1 || all[0].ID != r.ID || all[0].State != provider.Ready {
		t.Errorf("List = %+v, %v, want %+v", all, err, r)
	}
	if err := p.Remove(t.Context(), r); err != nil {
		t.Error(err)
	}
}
