package openstackfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// identity is keystone: tokens, and the catalogue.
func (c *Cloud) identity() {
	for path, id := range map[string]string{
		"/identity/": "v3.14", "/identity/v3/": "v3.14", "/compute/v2.1/": "v2.1", "/network/": "v2.0",
		"/image/": "v2.9", "/volume/v3/": "v3.0",
	} {
		c.mux.HandleFunc("GET "+path+"{$}", func(w http.ResponseWriter, r *http.Request) {
			write(w, 200, object{"versions": []object{{"id": id, "status": "CURRENT",
				"links": []object{{"rel": "self", "href": "http://" + r.Host + path}}}}})
		})
	}
	c.mux.HandleFunc("POST /identity/v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			Auth struct {
				Identity struct {
					Password struct {
						User struct{ Name, Password string }
					}
				}
				Scope struct {
					Project struct{ Name, ID string }
				}
			}
		}
		err := json.NewDecoder(r.Body).Decode(&ask)
		u := ask.Auth.Identity.Password.User
		if err != nil || u.Name != User || u.Password != Password {
			write(w, 401, problem{401, "error", "The request you have made requires authentication."})
			return
		}
		c.mu.Lock()
		c.serial++
		token := fmt.Sprintf("token-%d", c.serial)
		c.tokens[token] = true
		c.mu.Unlock()
		w.Header().Set("X-Subject-Token", token)
		write(w, 201, object{"token": object{
			"expires_at": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"),
			"project":    object{"id": Project, "name": "demo"},
			"catalog":    c.catalog("http://" + r.Host),
		}})
	})
}

func (c *Cloud) catalog(base string) []object {
	paths := map[string]string{"compute": "/compute/v2.1", "network": "/network", "image": "/image",
		"block-storage": "/volume/v3/" + Project}
	var all []object
	for kind, path := range paths {
		if kind == "block-storage" && c.NoVolumes {
			continue
		}
		all = append(all, object{"type": kind, "name": kind, "endpoints": []object{
			{"interface": "public", "region": Region, "region_id": Region, "url": base + path},
		}})
	}
	return all
}
