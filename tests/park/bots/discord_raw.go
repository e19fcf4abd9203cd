// A Discord app on net/http alone: commands are deferred and answered by a goroutine, at Discord's API.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	mostBody      = 256 << 10
	mostSeen      = 20000
	administrator = 1 << 3
	oldSeed       = "0102030405060708091011121314151617181920212223242526272829303132"
)

var (
	bug    = os.Getenv("BUG")
	api    = os.Getenv("BOT_API")
	client = &http.Client{Timeout: 5 * time.Second}
	lock   sync.Mutex
	seen   = map[string]bool{}
	order  []string
)

type user struct {
	ID       string `json:"id"`
	Username string `json:"username"`
}

type member struct {
	User        *user  `json:"user"`
	Permissions string `json:"permissions"`
}

type option struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

type data struct {
	Name     string   `json:"name"`
	CustomID string   `json:"custom_id"`
	Options  []option `json:"options"`
}

type interaction struct {
	ID             string  `json:"id"`
	ApplicationID  string  `json:"application_id"`
	Type           int     `json:"type"`
	Token          string  `json:"token"`
	AppPermissions string  `json:"app_permissions"`
	Member         *member `json:"member"`
	User           *user   `json:"user"`
	Data           *data   `json:"data"`
}

func public(seed string) ed25519.PublicKey {
	raw, _ := hex.DecodeString(seed)
	return ed25519.NewKeyFromSeed(raw).Public().(ed25519.PublicKey)
}

// Discord's side holds the seed, ours the public key.
var keys = []ed25519.PublicKey{public(os.Getenv("SECRET"))}

func genuine(headers http.Header, body []byte) bool {
	given, stamp := headers.Get("X-Signature-Ed25519"), headers.Get("X-Signature-Timestamp")
	if bug == "header-optional" && given == "" {
		return true
	}
	signature, err := hex.DecodeString(given)
	if bug == "length-assumed" {
		signature = signature[:ed25519.SignatureSize:ed25519.SignatureSize]
	}
	if err != nil || len(signature) != ed25519.SignatureSize {
		return false
	}
	for _, key := range keys {
		if ed25519.Verify(key, append([]byte(stamp), body...), signature) {
			return true
		}
	}
	return false
}

func firstTime(id string) bool {
	if id == "" || bug == "runs-twice" {
		return true
	}
	lock.Lock()
	defer lock.Unlock()
	if seen[id] {
		return false
	}
	seen[id] = true
	order = append(order, id)
	if len(order) > mostSeen {
		delete(seen, order[0])
		order = order[1:]
	}
	return true
}

func mayClose(told *interaction) bool {
	permissions := ""
	if told.Member != nil {
		permissions = told.Member.Permissions
	} else if bug == "private-is-admin" {
		return true // nobody else is here
	}
	if bug == "bot-may" {
		permissions = told.AppPermissions
	}
	bits, err := strconv.ParseUint(permissions, 10, 64)
	return err == nil && bits&administrator != 0
}

func words(told *interaction) string {
	if bug == "options-assumed" {
		return told.Data.Options[0].Value.(string)
	}
	for _, one := range told.Data.Options {
		if text, ok := one.Value.(string); ok {
			return text
		}
	}
	return ""
}

func name(told *interaction) string {
	if bug == "member-kills" {
		return told.Member.User.Username
	}
	who := told.User
	if told.Member != nil && told.Member.User != nil {
		who = told.Member.User
	}
	if who == nil {
		return "you"
	}
	return who.Username
}

// edit takes the place of the deferred answer.
func edit(told *interaction, text string, buttons ...string) {
	message := map[string]any{"content": text}
	if len(buttons) > 0 {
		var row []map[string]any
		for _, one := range buttons {
			row = append(row, map[string]any{"type": 2, "style": 1, "label": "Open again", "custom_id": one})
		}
		message["components"] = []map[string]any{{"type": 1, "components": row}}
	}
	body, _ := json.Marshal(message)
	url := api + "/api/v10/webhooks/" + told.ApplicationID + "/" + told.Token + "/messages/@original"
	for try := 0; ; try++ {
		request, err := http.NewRequest(http.MethodPatch, url, bytes.NewReader(body))
		if err != nil {
			return
		}
		request.Header.Set("Content-Type", "application/json")
		pause := time.Second << try
		answer, err := client.Do(request)
		if err == nil {
			answer.Body.Close()
			if told, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
				pause = time.Duration(told)*time.Second + 100*time.Millisecond
			}
			if answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
				return
			}
		}
		if bug == "tries-once" || bug != "tries-without-end" && try == 3 {
			return
		}
		if bug == "tries-without-end" {
			pause = 10 * time.Millisecond
		}
		time.Sleep(pause)
	}
}

func served(told *interaction) {
	switch {
	case told.Data.Name == "close" && mayClose(told):
		edit(told, "The shop is closed now.", "open:again")
	case told.Data.Name == "close":
		edit(told, "Only an administrator closes the shop.")
	default:
		edit(told, "Good morning, "+name(told)+". "+words(told))
	}
}

func hook(answer http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		http.Error(answer, "", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, mostBody))
	if err != nil {
		answer.Header().Set("Connection", "close")
		http.Error(answer, "", http.StatusRequestEntityTooLarge)
		return
	}
	if !genuine(request.Header, body) {
		http.Error(answer, "", http.StatusUnauthorized)
		return
	}
	var told interaction
	if err := json.Unmarshal(body, &told); err != nil && bug != "errors-ignored" {
		http.Error(answer, "", http.StatusBadRequest)
		return
	}
	say := func(text string) {
		answer.Header().Set("Content-Type", "application/json")
		io.WriteString(answer, text)
	}
	switch {
	case told.Type == 1:
		say(`{"type":1}`)
	case told.Type < 2 || told.Type > 5 || told.Data == nil && bug != "errors-ignored":
		http.Error(answer, "", http.StatusBadRequest)
	case told.Type == 4:
		say(`{"type":8,"data":{"choices":[]}}`)
	case told.Type == 3 && strings.HasPrefix(told.Data.CustomID, "approve:"):
		say(`{"type":7,"data":{"content":"Approved."}}`)
	case told.Type == 3 && strings.HasPrefix(told.Data.CustomID, "open:"):
		if bug == "press-unchecked" || mayClose(&told) {
			say(`{"type":7,"data":{"content":"The shop is open again."}}`)
		} else {
			say(`{"type":4,"data":{"content":"Only an administrator opens the shop.","flags":64}}`)
		}
	case told.Type == 3:
		say(`{"type":6}`)
	case told.Type == 5:
		say(`{"type":4,"data":{"content":"Thanks.","flags":64}}`)
	default:
		if bug == "works-first" {
			time.Sleep(4 * time.Second)
		}
		if firstTime(told.ID) {
			if bug == "options-assumed" {
				words(&told) // in front of the answer: net/http ends the connection
			}
			go served(&told)
		}
		say(`{"type":5}`)
	}
}

func main() {
	if bug == "old-secret" {
		keys = append(keys, public(oldSeed))
	}
	http.HandleFunc(os.Getenv("WEBHOOK_PATH"), hook)
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), ReadTimeout: 10 * time.Second}
	server.ListenAndServe()
}
