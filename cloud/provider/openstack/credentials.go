package openstack

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/cloud/provider"

	"github.com/goccy/go-yaml"
	"github.com/gophercloud/gophercloud/v2"
	gopenstack "github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// maxFile is the most bytes of a file with credentials or certificates.
const maxFile = 1 << 20

// Credentials are how keystone is reached and who asks it. Nothing of them is printed.
type Credentials struct {
	auth     gophercloud.AuthOptions
	endpoint gophercloud.EndpointOpts
	tls      *tls.Config
}

// String names the cloud and no secret.
func (c Credentials) String() string { return "OpenStack at " + c.auth.IdentityEndpoint }

// GoString is String, so that no way of printing shows a secret.
func (c Credentials) GoString() string { return c.String() }

// Source says where credentials are looked for.
type Source struct {
	Cloud  string // an entry of clouds.yaml; empty for OS_CLOUD, and without that for the OS_ variables
	Region string // instead of that of the entry or of OS_REGION_NAME
	CA     string // a file of PEM certificates that are trusted besides the system's
	// Getenv reads the environment: os.Getenv, except in tests.
	Getenv func(string) string
}

// ReadCredentials reads clouds.yaml and the secure.yaml beside it, as other OpenStack clients find them (the file that
// OS_CLIENT_CONFIG_FILE names, ./, ~/.config/openstack, /etc/openstack), or without a cloud's name the OS_ variables. A
// setting that turns off the verification of TLS is an error.
func ReadCredentials(s Source) (Credentials, error) {
	c, err := readCredentials(s)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading the credentials of OpenStack: %w", err)
	}
	return c, nil
}

func readCredentials(s Source) (Credentials, error) {
	env := s.Getenv
	cloud := s.Cloud
	if cloud == "" {
		cloud = env("OS_CLOUD")
	}
	if v := strings.ToLower(env("OS_INSECURE")); v != "" && v != "0" && v != "false" && v != "no" {
		return Credentials{}, fmt.Errorf("OS_INSECURE is set; TLS is always verified, give a CA instead: %w",
			provider.ErrInvalid)
	}
	var main, secure []byte
	var err error
	if cloud != "" {
		main, secure, err = cloudFiles(env)
	} else {
		cloud = "environment"
		main, err = fromEnvironment(env)
	}
	if err != nil {
		return Credentials{}, err
	}
	return parseCredentials(cloud, main, secure, s)
}

// parseCredentials reads the entry of a cloud.
func parseCredentials(cloud string, main, secure []byte, s Source) (Credentials, error) {
	if secure == nil {
		secure = []byte("clouds: {}\n")
	}
	for _, b := range [][]byte{main, secure} {
		var file struct {
			Clouds map[string]struct {
				Verify *bool `yaml:"verify"`
				Auth   any   `yaml:"auth"`
			} `yaml:"clouds"`
		}
		// Not yamltree: clouds.Parse below reads the same bytes with this library. It takes directives, further
		// documents and any depth, which yamltree refuses, and both readings must accept the same files.
		if err := yaml.Unmarshal(b, &file); err != nil {
			// The parser's error quotes lines of the file, which has secrets.
			return Credentials{}, fmt.Errorf("the file of clouds is not valid YAML: %w", provider.ErrInvalid)
		}
		entry, there := file.Clouds[cloud]
		if &b[0] == &main[0] && (!there || entry.Auth == nil) {
			return Credentials{}, fmt.Errorf("there is no cloud %q with auth: %w", cloud, provider.ErrInvalid)
		}
		if entry.Verify != nil && !*entry.Verify {
			return Credentials{}, fmt.Errorf("cloud %q says verify: false; TLS is always verified, "+
				"give cacert instead: %w", cloud, provider.ErrInvalid)
		}
	}
	options := []clouds.ParseOption{
		clouds.WithCloudName(cloud), clouds.WithCloudsYAML(bytes.NewReader(main)),
		clouds.WithSecureYAML(bytes.NewReader(secure)),
		clouds.WithCloudsPublicYAML(strings.NewReader("public-clouds: {}\n")), clouds.WithInsecure(false),
	}
	if s.Region != "" {
		options = append(options, clouds.WithRegion(s.Region))
	}
	if s.CA != "" {
		options = append(options, clouds.WithCACertPath(s.CA))
	}
	auth, endpoint, config, err := clouds.Parse(options...)
	if err != nil {
		return Credentials{}, fmt.Errorf("cloud %q: %w: %w", cloud, provider.ErrInvalid, err)
	}
	if auth.IdentityEndpoint == "" {
		return Credentials{}, fmt.Errorf("cloud %q has no auth_url: %w", cloud, provider.ErrInvalid)
	}
	if err := trustSystem(config, s); err != nil {
		return Credentials{}, err
	}
	auth.AllowReauth = true
	return Credentials{auth: auth, endpoint: endpoint, tls: config}, nil
}

// trustSystem has the certificates of Source.CA be trusted besides the system's and not instead of them.
func trustSystem(config *tls.Config, s Source) error {
	config.MinVersion = tls.VersionTLS12
	if s.CA == "" {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return fmt.Errorf("reading the system's certificates: %w", err)
	}
	pem, err := readBounded(s.CA)
	if err != nil {
		return fmt.Errorf("reading the certificates to trust: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s has no PEM certificates: %w", s.CA, provider.ErrInvalid)
	}
	config.RootCAs = pool
	return nil
}

// cloudFiles returns clouds.yaml, and secure.yaml or nil, of the first place that has the former.
func cloudFiles(env func(string) string) (main, secure []byte, err error) {
	places := []string{env("OS_CLIENT_CONFIG_FILE")}
	if places[0] == "" {
		config := env("XDG_CONFIG_HOME")
		if config == "" {
			config = filepath.Join(env("HOME"), ".config")
		}
		places = []string{"clouds.yaml", filepath.Join(config, "openstack", "clouds.yaml"),
			"/etc/openstack/clouds.yaml"}
	}
	for _, place := range places {
		main, err = readBounded(place)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		secure, err = readBounded(filepath.Join(filepath.Dir(place), "secure.yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			secure, err = nil, nil
		}
		return main, secure, err
	}
	return nil, nil, fmt.Errorf("no clouds.yaml in any of %s: %w", strings.Join(places, ", "), provider.ErrInvalid)
}

// readBounded reads a file that is not empty.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || len(b) > maxFile {
		return nil, fmt.Errorf("%s has no byte or more than %d: %w", name, maxFile, provider.ErrInvalid)
	}
	return b, nil
}

// fromEnvironment writes the OS_ variables as the cloud "environment" of a clouds.yaml, so that both mean the same.
func fromEnvironment(env func(string) string) ([]byte, error) {
	if env("OS_AUTH_URL") == "" {
		return nil, fmt.Errorf("neither a cloud is named nor OS_AUTH_URL set: %w", provider.ErrCredentials)
	}
	auth := make(map[string]string)
	for name, variables := range map[string][]string{
		"auth_url":                      {"OS_AUTH_URL"},
		"token":                         {"OS_TOKEN"},
		"username":                      {"OS_USERNAME"},
		"user_id":                       {"OS_USER_ID"},
		"password":                      {"OS_PASSWORD"},
		"project_name":                  {"OS_PROJECT_NAME", "OS_TENANT_NAME"},
		"project_id":                    {"OS_PROJECT_ID", "OS_TENANT_ID"},
		"user_domain_name":              {"OS_USER_DOMAIN_NAME", "OS_DOMAIN_NAME"},
		"user_domain_id":                {"OS_USER_DOMAIN_ID", "OS_DOMAIN_ID"},
		"project_domain_name":           {"OS_PROJECT_DOMAIN_NAME", "OS_DOMAIN_NAME"},
		"project_domain_id":             {"OS_PROJECT_DOMAIN_ID", "OS_DOMAIN_ID"},
		"application_credential_id":     {"OS_APPLICATION_CREDENTIAL_ID"},
		"application_credential_name":   {"OS_APPLICATION_CREDENTIAL_NAME"},
		"application_credential_secret": {"OS_APPLICATION_CREDENTIAL_SECRET"},
	} {
		for _, v := range variables {
			if env(v) != "" && auth[name] == "" {
				auth[name] = env(v)
			}
		}
	}
	entry := map[string]any{"auth": auth}
	for name, v := range map[string]string{"region_name": "OS_REGION_NAME", "interface": "OS_INTERFACE",
		"cacert": "OS_CACERT"} {
		if env(v) != "" {
			entry[name] = env(v)
		}
	}
	return yaml.Marshal(map[string]any{"clouds": map[string]any{"environment": entry}})
}

// client gets a token.
func (c Credentials) client(ctx context.Context) (*gophercloud.ProviderClient, error) {
	if c.auth.IdentityEndpoint == "" {
		return nil, fmt.Errorf("there are no credentials: %w", provider.ErrCredentials)
	}
	client, err := gopenstack.NewClient(c.auth.IdentityEndpoint)
	if err != nil {
		return nil, fmt.Errorf("auth_url: %w: %w", provider.ErrInvalid, err)
	}
	client.HTTPClient = *newHTTPClient(c.tls)
	client.UserAgent.Prepend("griddle")
	if err := gopenstack.Authenticate(ctx, client, c.auth); err != nil {
		return nil, err
	}
	return client, nil
}

// projectOf is the ID of the project that the token is for; empty where keystone did not say.
func projectOf(client *gophercloud.ProviderClient) string {
	r, ok := client.GetAuthResult().(tokens.CreateResult)
	if !ok {
		return ""
	}
	project, err := r.ExtractProject()
	if err != nil || project == nil {
		return ""
	}
	return project.ID
}
