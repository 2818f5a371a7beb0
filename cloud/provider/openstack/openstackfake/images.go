package openstackfake

import (
	"crypto/md5"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// images is glance: an image is queued, gets its bytes once and is active.
func (c *Cloud) images() {
	c.handle("GET /image/v2/images", func(r *http.Request, _ object) (int, any) {
		q := r.URL.Query()
		var some []object
		for _, i := range c.rows("images") {
			if owner := q.Get("owner"); owner != "" && i["owner"] != owner {
				continue
			}
			tags, _ := i["tags"].([]any)
			if tag := q.Get("tag"); tag != "" && !slices.Contains(tags, any(tag)) {
				continue
			}
			some = append(some, i)
		}
		page, next := c.page(r, some)
		o := object{"images": page}
		if next != "" {
			o["next"] = strings.TrimPrefix(next, "/image")
		}
		return 200, o
	})
	c.handle("POST /image/v2/images", func(_ *http.Request, body object) (int, any) {
		if c.full("images") {
			return 0, problem{413, "error", "Denying attempt to upload image because it exceeds the quota."}
		}
		body["status"], body["owner"], body["created_at"], body["updated_at"] = "queued", Project, now()+"Z", now()+"Z"
		return 201, c.get("images", c.insert("images", body))
	})
	c.handle("GET /image/v2/images/{id}", func(r *http.Request, _ object) (int, any) {
		if i := c.get("images", r.PathValue("id")); i != nil {
			return 200, i
		}
		return 0, noImage(r)
	})
	c.handle("PATCH /image/v2/images/{id}", func(r *http.Request, body object) (int, any) {
		i := c.get("images", r.PathValue("id"))
		if i == nil {
			return 0, noImage(r)
		}
		list, _ := body["list"].([]any)
		for _, p := range list {
			o, _ := p.(object)
			i[strings.TrimPrefix(text(o, "path"), "/")] = o["value"]
		}
		return 200, i
	})
	c.handle("DELETE /image/v2/images/{id}", func(r *http.Request, _ object) (int, any) {
		if c.get("images", r.PathValue("id")) == nil {
			return 0, noImage(r)
		}
		c.remove("images", r.PathValue("id"))
		return 204, nil
	})
	c.mux.HandleFunc("PUT /image/v2/images/{id}/file", c.upload)
}

func noImage(r *http.Request) problem {
	return problem{404, "error", "No image found with ID " + r.PathValue("id")}
}

// upload does not hold the lock while it reads, so that two can send at once; the second is refused.
func (c *Cloud) upload(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	i := c.get("images", r.PathValue("id"))
	var refuse *problem
	switch {
	case !c.tokens[r.Header.Get("X-Auth-Token")]:
		refuse = &problem{401, "error", "The request you have made requires authentication."}
	case i == nil:
		p := noImage(r)
		refuse = &p
	case i["status"] != "queued":
		refuse = &problem{409, "error", "Image status transition from saving to saving is not allowed"}
	default:
		i["status"] = "saving"
	}
	c.mu.Unlock()
	if refuse != nil {
		write(w, 0, *refuse)
		return
	}
	sum5, sum512 := md5.New(), sha512.New()
	n, err := io.Copy(io.MultiWriter(sum5, sum512), r.Body)
	if c.Corrupt {
		sum5.Write([]byte("x"))
		sum512.Write([]byte("x"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		i["status"] = "queued"
		write(w, 0, problem{400, "error", "interrupted"})
		return
	}
	i["status"], i["size"], i["checksum"] = "active", n, fmt.Sprintf("%x", sum5.Sum(nil))
	i["os_hash_algo"], i["os_hash_value"] = "sha512", fmt.Sprintf("%x", sum512.Sum(nil))
	w.WriteHeader(204)
}
