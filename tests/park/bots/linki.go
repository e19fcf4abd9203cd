// Linki: a Polish link keeper in Go, without a framework. One goroutine per chat works through a bounded queue and answers by
// editing its own last message where it can ("menu" style), else with a new one. State: maps behind one mutex.
package main

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

type person struct {
	ID        int64  `json:"id"`
	FirstName string `json:"first_name"`
}
type chat struct {
	ID int64 `json:"id"`
}
type message struct {
	ID      int64    `json:"message_id"`
	From    *person  `json:"from"`
	Chat    *chat    `json:"chat"`
	Text    *string  `json:"text"`
	ReplyTo *message `json:"reply_to_message"`
}
type press struct {
	ID      string   `json:"id"`
	From    *person  `json:"from"`
	Message *message `json:"message"`
	Data    string   `json:"data"`
}
type update struct {
	ID       *int64   `json:"update_id"`
	Message  *message `json:"message"`
	Callback *press   `json:"callback_query"`
}
type link struct {
	owner int64
	url   string
}

var (
	bug     = os.Getenv("BUG")
	secret  = os.Getenv("SECRET")
	token   = os.Getenv("BOT_TOKEN")
	api     = os.Getenv("BOT_API")
	admin   int64
	mutex   sync.Mutex
	links   = map[int64]link{}
	order   []int64
	next    int64 = 10
	seen          = map[int64]bool{}
	ids     []int64
	queues  = map[int64]chan update{}
	moved   = map[int64]int64{}
	kept    [][]byte
	closed  bool
	total   int64
	client        = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	pomoc         = "Polecenia: /zapisz adres, /moje, /otworz numer, /usun numer."
	mostLen int64 = 256 * 1024
)

type answer struct {
	OK         bool            `json:"ok"`
	Result     json.RawMessage `json:"result"`
	Parameters struct {
		RetryAfter float64 `json:"retry_after"`
		Migrate    int64   `json:"migrate_to_chat_id"`
	} `json:"parameters"`
}

// call sends one request to the Bot API, at most four times.
func call(method string, params map[string]any) (answer, bool) {
	for attempt := 1; attempt <= 4; attempt++ {
		if id, is := params["chat_id"].(int64); is {
			mutex.Lock()
			if to, has := moved[id]; has && bug != "migration-forgotten" {
				params["chat_id"] = to
			}
			mutex.Unlock()
		}
		body, _ := json.Marshal(params)
		response, err := client.Post(api+"/bot"+token+"/"+method, "application/json", bytes.NewReader(body))
		if err != nil {
			if bug == "outage-panics" {
				panic("send failed")
			}
			time.Sleep(time.Duration(300*(1<<attempt)) * time.Millisecond)
			continue
		}
		raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		if bug != "bodies-left-open" {
			response.Body.Close()
		}
		var got answer
		if err = errors.Join(err, json.Unmarshal(raw, &got)); err != nil {
			if bug == "outage-panics" {
				panic("not JSON")
			}
			if response.StatusCode < 300 {
				return got, true
			}
		}
		switch {
		case got.OK:
			return got, true
		case got.Parameters.Migrate != 0 && bug != "migration-forgotten":
			if id, is := params["chat_id"].(int64); is {
				mutex.Lock()
				moved[id] = got.Parameters.Migrate
				mutex.Unlock()
			}
		case response.StatusCode == 429 && bug == "flood-hammered":
			attempt = 1
			time.Sleep(20 * time.Millisecond)
		case response.StatusCode == 429:
			time.Sleep(time.Duration(min(max(got.Parameters.RetryAfter, 1), 60)*1000+50) * time.Millisecond)
		case response.StatusCode >= 500 && bug == "breaker-stays-open":
			mutex.Lock()
			closed = true
			mutex.Unlock()
			return got, false
		case response.StatusCode >= 500:
			time.Sleep(time.Duration(300*(1<<attempt)) * time.Millisecond)
		default:
			return got, false
		}
	}
	return answer{}, false
}

func say(to int64, text string, buttons ...[2]string) {
	params := map[string]any{"chat_id": to, "text": text}
	if len(buttons) > 0 {
		params["reply_markup"] = markup(buttons)
	}
	mutex.Lock()
	broken := closed
	mutex.Unlock()
	if !broken {
		call("sendMessage", params)
	}
}

func markup(buttons [][2]string) any {
	rows := [][]map[string]string{}
	for _, one := range buttons {
		rows = append(rows, []map[string]string{{"text": one[0], "callback_data": one[1]}})
	}
	return map[string]any{"inline_keyboard": rows}
}

func isAdmin(from *person, msg *message) bool {
	if bug == "reply-lends-rights" && msg != nil && msg.ReplyTo != nil && msg.ReplyTo.From != nil && msg.ReplyTo.From.ID == admin {
		return true
	}
	if bug == "id-truncated" {
		return int32(from.ID) == int32(admin)
	}
	return from.ID == admin
}

func owned(number int64, user int64) (link, bool) {
	mutex.Lock()
	defer mutex.Unlock()
	found, is := links[number]
	return found, is && (found.owner == user || bug == "reads-any-link")
}

func remove(number int64, user int64) bool {
	mutex.Lock()
	defer mutex.Unlock()
	found, is := links[number]
	if !is || (found.owner != user && bug != "deletes-any-link") {
		return false
	}
	delete(links, number)
	return true
}

func mine(user int64) []int64 {
	mutex.Lock()
	defer mutex.Unlock()
	numbers := []int64{}
	for number, one := range links {
		if one.owner == user {
			numbers = append(numbers, number)
		}
	}
	sort.Slice(numbers, func(a, b int) bool { return numbers[a] > numbers[b] })
	return numbers[:min(len(numbers), 8)]
}

func save(user int64, address string) int64 {
	mutex.Lock()
	if bug == "counter-race" {
		number := next
		mutex.Unlock()
		time.Sleep(150 * time.Millisecond) // the page's title is fetched
		mutex.Lock()
		next = number
	}
	defer mutex.Unlock()
	next++
	links[next] = link{user, address}
	order = append(order, next)
	if len(order) > 5000 {
		delete(links, order[0])
		order = order[1:]
	}
	return next
}

func onMessage(msg *message) {
	text := strings.TrimSpace(*msg.Text)
	to, user := msg.Chat.ID, msg.From.ID
	words := strings.Fields(text)
	if len(words) == 0 {
		if bug == "blank-panics" {
			_ = words[0]
		}
		return
	}
	command, _, _ := strings.Cut(strings.ToLower(words[0]), "@")
	rest := ""
	if len(words) > 1 {
		rest = words[1]
	} else if bug == "argument-assumed" && (command == "/otworz" || command == "/usun") {
		rest = words[1]
	}
	number, bad := strconv.ParseInt(rest, 10, 64)
	switch command {
	case "/start", "/pomoc":
		extra := ""
		if user == admin {
			extra = " Dla administratora: /raport, /wyczysc, /zamknij."
		}
		say(to, "Cześć! "+pomoc+extra)
	case "/zapisz":
		parsed, err := url.Parse(rest)
		if err != nil || parsed.Host == "" || len(rest) > 2000 {
			say(to, "To nie jest adres. Na przykład: /zapisz https://example.org")
			return
		}
		say(to, fmt.Sprintf("Zapisano pod numerem %d.", save(user, rest)))
	case "/moje":
		buttons := [][2]string{}
		for _, one := range mine(user) {
			buttons = append(buttons, [2]string{fmt.Sprintf("Usuń %d", one), fmt.Sprintf("u/%d", one)})
		}
		say(to, fmt.Sprintf("Twoje adresy: %d", len(buttons)), buttons...)
	case "/otworz":
		if found, is := owned(number, user); bad == nil && is {
			say(to, found.url)
		} else {
			say(to, "Nie masz takiego adresu.")
		}
	case "/usun":
		if bad == nil && remove(number, user) {
			say(to, "Usunięto.")
		} else {
			say(to, "Nie masz takiego adresu.")
		}
	case "/raport", "/wyczysc", "/zamknij":
		if !isAdmin(msg.From, msg) && !(bug == "report-for-all" && command == "/raport") {
			say(to, "To polecenie jest tylko dla administratora.")
			return
		}
		manage(to, command)
	default:
		if to > 0 {
			say(to, "Nie rozumiem. "+pomoc)
		}
	}
}

func manage(to int64, command string) {
	mutex.Lock()
	count, all := len(links), total
	if command == "/wyczysc" {
		links, order = map[int64]link{}, nil
	}
	mutex.Unlock()
	switch command {
	case "/raport":
		say(to, fmt.Sprintf("Adresów: %d, wiadomości: %d.", count, all))
	case "/wyczysc":
		say(to, "Wyczyszczono wszystko.")
	default:
		say(to, "Zapisy zamknięte do jutra.")
	}
}

func onPress(query *press) {
	text := "Ten przycisk już nie działa."
	if word, is := strings.CutPrefix(query.Data, "u/"); is {
		number, err := strconv.ParseInt(word, 10, 64)
		if err == nil && remove(number, query.From.ID) {
			text = "Usunięto."
		}
	}
	call("answerCallbackQuery", map[string]any{"callback_query_id": query.ID, "text": text})
	if bug == "press-message-assumed" || (query.Message != nil && query.Message.Chat != nil) {
		call("editMessageText", map[string]any{"chat_id": query.Message.Chat.ID, "message_id": query.Message.ID, "text": text})
	}
}

// work answers one chat's updates in their order and ends when there is none for a while.
func work(key int64, queue chan update) {
	for {
		select {
		case one := <-queue:
			func() {
				defer func() {
					if recovered := recover(); recovered != nil {
						if strings.HasSuffix(bug, "panics") || strings.HasSuffix(bug, "assumed") {
							panic(recovered) // ends the process, as a goroutine without recover does
						}
						fmt.Fprintln(os.Stderr, "failed")
					}
				}()
				if one.Message != nil {
					onMessage(one.Message)
				} else {
					onPress(one.Callback)
				}
			}()
		case <-time.After(5 * time.Second):
			mutex.Lock()
			if len(queue) == 0 {
				delete(queues, key)
				mutex.Unlock()
				return
			}
			mutex.Unlock()
		}
	}
}

func enqueue(one update) bool {
	var key int64
	switch {
	case one.Message != nil && one.Message.From != nil && one.Message.Chat != nil && one.Message.Text != nil:
		key = one.Message.Chat.ID
	case one.Callback != nil && one.Callback.From != nil:
		key = one.Callback.From.ID
	default:
		return true
	}
	if bug == "one-queue" {
		key = 0
	}
	total++
	queue, is := queues[key]
	if !is {
		queue = make(chan update, 500)
		queues[key] = queue
		go work(key, queue)
	}
	select {
	case queue <- one:
		return true
	default:
		return false
	}
}

func allowed(request *http.Request) bool {
	given := request.Header.Get("X-Telegram-Bot-Api-Secret-Token")
	if bug == "secret-from-query" && given == "" {
		given = request.URL.Query().Get("secret")
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

func hook(writer http.ResponseWriter, request *http.Request) {
	body := http.MaxBytesReader(writer, request.Body, mostLen)
	if bug == "read-before-secret" {
		whole, _ := io.ReadAll(request.Body)
		body = io.NopCloser(bytes.NewReader(whole))
	}
	if request.Method != http.MethodPost || !allowed(request) {
		writer.WriteHeader(http.StatusUnauthorized)
		return
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		writer.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	var one update
	if err = json.Unmarshal(raw, &one); err != nil || one.ID == nil {
		if bug == "strict-decoding" {
			writer.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(writer, "%v (%s/bot%s)", err, api, token)
			return
		}
		writer.WriteHeader(http.StatusOK) // nothing that another delivery would mend
		return
	}
	mutex.Lock()
	defer mutex.Unlock()
	if bug == "updates-kept" {
		kept = append(kept, append(raw, make([]byte, 30_000)...))
	}
	if seen[*one.ID] && bug != "repeats-run" {
		return
	}
	if !enqueue(one) {
		writer.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	seen[*one.ID] = true
	ids = append(ids, *one.ID)
	if len(ids) > 20_000 {
		delete(seen, ids[0])
		ids = ids[1:]
	}
}

func main() {
	admin, _ = strconv.ParseInt(os.Getenv("ADMIN_ID"), 10, 64)
	if bug == "no-timeout" {
		client.Timeout = 0
	}
	mux := http.NewServeMux()
	mux.HandleFunc(os.Getenv("WEBHOOK_PATH"), hook)
	mux.HandleFunc("/health", func(writer http.ResponseWriter, _ *http.Request) { fmt.Fprint(writer, "ok") })
	server := http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux, ReadTimeout: 30 * time.Second}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
