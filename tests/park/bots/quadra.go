// Quadra: a booking bot for a padel club in Portuguese, on net/http alone.
//
// Updates are acknowledged at once; a worker for each chat answers later, at the pace that Telegram asks of bots.
// An hour is held for a short time under a drawn code; who does not confirm loses it to the first in the queue, who is told unasked.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxBody    = 1 << 20
	maxSeen    = 20000
	maxPending = 1000 // per chat
	maxBusy    = 5000
	maxNames   = 5000
	maxQueue   = 20
	maxMine    = 2
	holdFor    = 20 * time.Second
	giftFor    = 5 * time.Minute
	firstHour  = 8
	lastHour   = 22
	alphabet   = "ACDEFHJKLMNPRTUVWXY34679"
)

var (
	token   = os.Getenv("BOT_TOKEN")
	secret  = os.Getenv("SECRET")
	api     = strings.TrimRight(env("BOT_API", "https://api.telegram.org"), "/")
	adminID = func() int64 { n, _ := strconv.ParseInt(os.Getenv("ADMIN_ID"), 10, 64); return n }()
	backoff = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
)

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// ---------------------------------------------------------------- what Telegram sends

type user struct {
	ID    int64  `json:"id"`
	IsBot bool   `json:"is_bot"`
	First string `json:"first_name"`
}

type chat struct {
	ID   int64  `json:"id"`
	Type string `json:"type"`
}

type message struct {
	ID         int64           `json:"message_id"`
	From       *user           `json:"from"`
	Chat       chat            `json:"chat"`
	Text       string          `json:"text"`
	MigrateTo  int64           `json:"migrate_to_chat_id"`
	SenderChat json.RawMessage `json:"sender_chat"`
}

type query struct {
	ID      string   `json:"id"`
	From    *user    `json:"from"`
	Message *message `json:"message"`
	Data    string   `json:"data"`
}

type update struct {
	ID      *int64   `json:"update_id"`
	Message *message `json:"message"`
	Query   *query   `json:"callback_query"`
}

// ---------------------------------------------------------------- the Bot API

type answer struct {
	OK          bool   `json:"ok"`
	Code        int    `json:"error_code"`
	Description string `json:"description"`
	Parameters  struct {
		RetryAfter float64 `json:"retry_after"`
		MigrateTo  int64   `json:"migrate_to_chat_id"`
	} `json:"parameters"`
}

var client = &http.Client{
	Timeout:       8 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 50, IdleConnTimeout: 30 * time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

var moved = struct {
	sync.Mutex
	to map[int64]int64
}{to: map[int64]int64{}}

func remember(old, now int64) {
	moved.Lock()
	defer moved.Unlock()
	if len(moved.to) < 1000 {
		moved.to[old] = now
	}
}

func current(id int64) int64 {
	moved.Lock()
	defer moved.Unlock()
	if to, ok := moved.to[id]; ok {
		return to
	}
	return id
}

func once(method string, payload map[string]any) answer {
	failed := answer{Code: 599}
	data, err := json.Marshal(payload)
	if err != nil {
		return answer{Code: 400, Description: err.Error()}
	}
	response, err := client.Post(api+"/bot"+token+"/"+method, "application/json", bytes.NewReader(data))
	if err != nil {
		return failed // the error names the URL, which has the token in it
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	var got answer
	if err != nil {
		return failed
	}
	if json.Unmarshal(body, &got) != nil && !got.OK {
		got.Code = response.StatusCode
	}
	if !got.OK && got.Code < 400 {
		got.Code = response.StatusCode
	}
	if !got.OK && got.Code < 400 {
		got.Code = 599
	}
	return got
}

func call(method string, payload map[string]any, attempts int) error {
	id, _ := payload["chat_id"].(int64)
	failed, waited := 0, 0
	for {
		if id != 0 {
			payload["chat_id"] = current(id)
		}
		got := once(method, payload)
		to := got.Parameters.MigrateTo
		switch {
		case got.OK:
			return nil
		case to != 0 && id != 0 && to != payload["chat_id"] && waited < 5:
			waited++
			remember(id, to)
		case got.Code == 429:
			pause := got.Parameters.RetryAfter
			if pause <= 0 {
				pause = 2
			}
			if waited >= 5 || pause > 300 {
				return errors.New("flood")
			}
			waited++
			time.Sleep(time.Duration(pause*1000+100) * time.Millisecond)
		case got.Code < 500 || failed >= attempts:
			return fmt.Errorf("%s: %d %.80s", method, got.Code, got.Description)
		default:
			time.Sleep(backoff[failed])
			failed++
		}
	}
}

// lanes run the jobs of each key one after another; a lane lives while there is something in it.
type lanes struct {
	sync.Mutex
	jobs map[string][]func()
	wait sync.WaitGroup
}

func (l *lanes) full(key string) bool {
	l.Lock()
	defer l.Unlock()
	return len(l.jobs[key]) >= maxPending || len(l.jobs) >= maxBusy
}

func (l *lanes) put(key string, job func()) {
	l.Lock()
	defer l.Unlock()
	there, alive := l.jobs[key]
	if len(there) >= 2*maxPending {
		log.Printf("lane %s is full", key)
		return
	}
	l.jobs[key] = append(there, job)
	if !alive {
		l.wait.Add(1)
		go l.work(key)
	}
}

func (l *lanes) work(key string) {
	defer l.wait.Done()
	for {
		l.Lock()
		if len(l.jobs[key]) == 0 {
			delete(l.jobs, key)
			l.Unlock()
			return
		}
		job := l.jobs[key][0]
		l.jobs[key] = l.jobs[key][1:]
		l.Unlock()
		func() {
			defer func() {
				if problem := recover(); problem != nil {
					log.Printf("lane %s: %v", key, problem)
				}
			}()
			job()
		}()
	}
}

var (
	inbox  = &lanes{jobs: map[string][]func(){}}
	outbox = &lanes{jobs: map[string][]func(){}}
)

func key(id int64) string { return strconv.FormatInt(id, 10) }

type button struct {
	Text string `json:"text"`
	Data string `json:"callback_data"`
}

// say sends a text soon: a person gets at most five messages a second, a group hardly two.
func say(id int64, text string, buttons ...button) {
	outbox.put(key(id), func() {
		payload := map[string]any{"chat_id": id, "text": text}
		if len(buttons) > 0 {
			payload["reply_markup"] = map[string]any{"inline_keyboard": [][]button{buttons}}
		}
		if err := call("sendMessage", payload, len(backoff)); err != nil {
			log.Printf("not delivered to %d: %v", id, err)
		}
		if id < 0 {
			time.Sleep(600 * time.Millisecond)
		} else {
			time.Sleep(200 * time.Millisecond)
		}
	})
}

func toast(q *query, text string, alert bool) {
	outbox.put("q"+q.ID, func() {
		if err := call("answerCallbackQuery", map[string]any{"callback_query_id": q.ID, "text": text, "show_alert": alert}, 1); err != nil {
			log.Print(err)
		}
	})
}

// ---------------------------------------------------------------- the club

type booking struct {
	hour      int
	by        int64
	code      string
	until     time.Time // of a hold; zero once it is confirmed
	confirmed bool
}

type gift struct {
	from  int64
	hour  int
	until time.Time
}

type club struct {
	sync.Mutex
	hours   map[int]*booking
	blocked map[int]bool
	queue   map[int][]int64
	gifts   map[string]gift
	names   map[int64]string
	day     int
}

var padel = &club{hours: map[int]*booking{}, blocked: map[int]bool{}, queue: map[int][]int64{}, gifts: map[string]gift{}, names: map[int64]string{}}

func draw(length int) string {
	code := make([]byte, length)
	for i := range code {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err)
		}
		code[i] = alphabet[n.Int64()]
	}
	return string(code)
}

func (c *club) name(id int64) string {
	if name := c.names[id]; name != "" {
		return name
	}
	return "alguém"
}

func (c *club) meet(u *user) {
	name := strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, u.First))
	if runes := []rune(name); len(runes) > 30 {
		name = string(runes[:30])
	}
	if _, known := c.names[u.ID]; known || len(c.names) < maxNames {
		c.names[u.ID] = name
	}
}

// sorted gives the hours of somebody's bookings.
func (c *club) of(id int64) []*booking {
	var mine []*booking
	for _, one := range c.hours {
		if one.by == id {
			mine = append(mine, one)
		}
	}
	sort.Slice(mine, func(i, j int) bool { return mine[i].hour < mine[j].hour })
	return mine
}

func (c *club) state(hour int) string {
	one := c.hours[hour]
	switch {
	case c.blocked[hour]:
		return "fechada"
	case one == nil:
		return "livre"
	case one.confirmed:
		return "ocupada"
	default:
		return fmt.Sprintf("em espera por mais %d s", int(time.Until(one.until).Seconds())+1)
	}
}

// hold keeps an hour for somebody; they have one hold at a time, a newer takes the place of the older.
func (c *club) hold(id int64, hour int) (*booking, string) {
	if c.blocked[hour] {
		return nil, fmt.Sprintf("Às %dh o campo está fechado.", hour)
	}
	if there := c.hours[hour]; there != nil {
		if there.by != id {
			return nil, fmt.Sprintf("Às %dh já está tomado (%s). Podes entrar na fila: /fila %d", hour, c.state(hour), hour)
		}
		if there.confirmed {
			return nil, fmt.Sprintf("Às %dh já é teu.", hour)
		}
		return there, ""
	}
	count := 0
	for _, one := range c.of(id) {
		if one.confirmed {
			count++
		} else {
			c.free(one.hour, id)
		}
	}
	if count >= maxMine {
		return nil, fmt.Sprintf("Já tens %d reservas; cancela uma primeiro.", maxMine)
	}
	one := &booking{hour: hour, by: id, code: draw(5), until: time.Now().Add(holdFor)}
	c.hours[hour] = one
	c.leave(hour, id)
	return one, ""
}

func (c *club) leave(hour int, id int64) bool {
	for i, who := range c.queue[hour] {
		if who == id {
			c.queue[hour] = append(c.queue[hour][:i:i], c.queue[hour][i+1:]...)
			return true
		}
	}
	return false
}

// free ends a booking; the first in the queue gets a hold on it, and is told in private.
func (c *club) free(hour int, not int64) {
	delete(c.hours, hour)
	for code, one := range c.gifts {
		if one.hour == hour {
			delete(c.gifts, code)
		}
	}
	for len(c.queue[hour]) > 0 && !c.blocked[hour] {
		next := c.queue[hour][0]
		c.queue[hour] = c.queue[hour][1:]
		if next == not {
			continue
		}
		one := &booking{hour: hour, by: next, code: draw(5), until: time.Now().Add(3 * holdFor)}
		c.hours[hour] = one
		offer(next, one, "Chegou a tua vez na fila. ")
		return
	}
}

func offer(id int64, one *booking, before string) {
	say(id, fmt.Sprintf("%sGuardo-te as %dh por %d s, código %s.", before, one.hour, int(time.Until(one.until).Seconds()+0.5), one.code),
		button{"Confirmar", "sim:" + one.code}, button{"Desistir", "nao:" + one.code})
}

func (c *club) byCode(code string) *booking {
	for _, one := range c.hours {
		if subtle.ConstantTimeCompare([]byte(one.code), []byte(code)) == 1 {
			return one
		}
	}
	return nil
}

func (c *club) confirm(id int64, code string) string {
	one := c.byCode(code)
	switch {
	case one == nil:
		return "Esse código não existe ou já expirou."
	case one.by != id:
		return "Esse código é de outra pessoa."
	case one.confirmed:
		return fmt.Sprintf("Já estava confirmado: %dh.", one.hour)
	}
	count := 0
	for _, other := range c.of(id) {
		if other.confirmed {
			count++
		}
	}
	if count >= maxMine {
		return fmt.Sprintf("Já tens %d reservas; cancela uma primeiro.", maxMine)
	}
	one.confirmed = true
	return fmt.Sprintf("Confirmado: %dh é teu. Código %s.", one.hour, one.code)
}

func (c *club) cancel(id int64, code string) string {
	one := c.byCode(code)
	if one == nil || (one.by != id && id != adminID) {
		return "Não tens nenhuma reserva com esse código."
	}
	owner := one.by
	c.free(one.hour, owner)
	if owner != id {
		say(owner, fmt.Sprintf("O clube cancelou a tua reserva das %dh.", one.hour))
	}
	return fmt.Sprintf("Cancelado: %dh fica livre.", one.hour)
}

// expire gives back what nobody confirmed.
func (c *club) expire() {
	c.Lock()
	defer c.Unlock()
	now := time.Now()
	if today := now.YearDay(); today != c.day { // bookings are for one day only
		if c.day != 0 {
			c.hours, c.queue, c.gifts = map[int]*booking{}, map[int][]int64{}, map[string]gift{}
		}
		c.day = today
	}
	for hour, one := range c.hours {
		if !one.confirmed && now.After(one.until) {
			say(one.by, fmt.Sprintf("Não confirmaste a tempo: as %dh já não estão guardadas.", hour))
			c.free(hour, one.by)
		}
	}
	for code, one := range c.gifts {
		if now.After(one.until) {
			delete(c.gifts, code)
		}
	}
}

// ---------------------------------------------------------------- commands

const help = `Quadra: reservas do campo de padel, para hoje.
/horarios - as horas e o seu estado
/reservar 18 - guarda uma hora por 20 s, até confirmares
/confirmar CÓDIGO - confirma
/desistir - larga o que tens guardado
/minhas - as tuas reservas
/cancelar CÓDIGO - cancela uma reserva
/fila 18 - entra na fila de uma hora
/sairfila 18 - sai dela
/oferecer CÓDIGO - passa uma reserva a outra pessoa
/aceitar VALE - aceita uma reserva oferecida
/fechar 18, /abrir 18, /agenda - direção do clube`

var (
	command   = regexp.MustCompile(`(?s)^/([A-Za-z]{1,20})(?:@\w{1,64})?(?:\s+(.*))?$`)
	codeShape = regexp.MustCompile(`^[A-Z0-9]{5,8}$`)
	pressing  = regexp.MustCompile(`^(sim|nao):([A-Z0-9]{5})$`)
	hourShape = regexp.MustCompile(`^([0-9]{1,2})h?$`)
)

func hourOf(text string) (int, bool) {
	match := hourShape.FindStringSubmatch(text)
	if match == nil {
		return 0, false
	}
	hour, _ := strconv.Atoi(match[1])
	return hour, hour >= firstHour && hour <= lastHour
}

var needsHour = map[string]bool{"reservar": true, "fila": true, "sairfila": true, "fechar": true, "abrir": true}
var needsCode = map[string]bool{"confirmar": true, "cancelar": true, "oferecer": true, "aceitar": true}
var forAdmin = map[string]bool{"fechar": true, "abrir": true, "agenda": true}

func onMessage(m *message) {
	private := m.Chat.Type == "private"
	here := m.Chat.ID
	match := command.FindStringSubmatch(m.Text)
	if match == nil {
		if private {
			say(here, "Não percebi. Vê /ajuda")
		}
		return
	}
	name, rest := strings.ToLower(match[1]), strings.TrimSpace(match[2])
	hour, isHour := hourOf(rest)
	code := strings.ToUpper(rest)
	padel.Lock()
	defer padel.Unlock()
	padel.meet(m.From)
	id := m.From.ID
	switch {
	case forAdmin[name] && id != adminID:
		say(here, "Só a direção do clube pode fazer isso.")
		return
	case needsHour[name] && !isHour:
		say(here, fmt.Sprintf("Diz uma hora entre %d e %d, por exemplo /%s 18", firstHour, lastHour, name))
		return
	case needsCode[name] && !codeShape.MatchString(code):
		say(here, fmt.Sprintf("Falta o código, por exemplo /%s ABCDE", name))
		return
	}
	switch name {
	case "start", "ajuda", "help":
		say(here, help)
	case "horarios":
		lines := []string{"Hoje:"}
		for one := firstHour; one <= lastHour; one++ {
			line := fmt.Sprintf("%dh %s", one, padel.state(one))
			if waiting := len(padel.queue[one]); waiting > 0 {
				line += fmt.Sprintf(", %d na fila", waiting)
			}
			lines = append(lines, line)
		}
		say(here, strings.Join(lines, "\n"))
	case "reservar":
		one, problem := padel.hold(id, hour)
		switch {
		case problem != "":
			say(here, problem)
		case private:
			offer(id, one, "")
		default: // the code is nobody else's business
			say(here, fmt.Sprintf("Guardei as %dh para %s; o código vai em privado.", hour, padel.name(id)),
				button{"Confirmar", "sim:" + one.code})
			offer(id, one, "")
		}
	case "confirmar":
		say(here, padel.confirm(id, code))
	case "desistir":
		said := "Não tens nada guardado."
		for _, one := range padel.of(id) {
			if !one.confirmed {
				padel.free(one.hour, id)
				said = fmt.Sprintf("Está bem, as %dh já não são tuas.", one.hour)
			}
		}
		say(here, said)
	case "minhas":
		lines := []string{}
		for _, one := range padel.of(id) {
			state := "confirmada"
			if !one.confirmed {
				state = "por confirmar"
			}
			lines = append(lines, fmt.Sprintf("%dh %s, código %s", one.hour, state, one.code))
		}
		if len(lines) == 0 {
			lines = append(lines, "Não tens reservas.")
		}
		if !private {
			say(here, "Respondo-te em privado.")
		}
		say(id, strings.Join(lines, "\n"))
	case "cancelar":
		say(here, padel.cancel(id, code))
	case "fila":
		waiting := padel.queue[hour]
		at := -1
		for i, who := range waiting {
			if who == id {
				at = i
			}
		}
		there := padel.hours[hour]
		switch {
		case there == nil && !padel.blocked[hour]:
			say(here, fmt.Sprintf("As %dh estão livres: /reservar %d", hour, hour))
		case there != nil && there.by == id:
			say(here, "Essa hora já é tua.")
		case at >= 0:
			say(here, fmt.Sprintf("Já estás na fila das %dh, em %dº lugar.", hour, at+1))
		case len(waiting) >= maxQueue:
			say(here, "A fila dessa hora está cheia.")
		default:
			padel.queue[hour] = append(waiting, id)
			say(here, fmt.Sprintf("Estás na fila das %dh, em %dº lugar. Aviso-te em privado.", hour, len(waiting)+1))
		}
	case "sairfila":
		if padel.leave(hour, id) {
			say(here, fmt.Sprintf("Saíste da fila das %dh.", hour))
		} else {
			say(here, "Não estavas nessa fila.")
		}
	case "oferecer":
		one := padel.byCode(code)
		switch {
		case one == nil || one.by != id || !one.confirmed:
			say(here, "Só podes oferecer uma reserva tua, confirmada.")
		case !private:
			say(here, "Pede-me isso em privado: o vale é para quem tu quiseres.")
		default:
			for old, g := range padel.gifts {
				if g.hour == one.hour {
					delete(padel.gifts, old)
				}
			}
			voucher := draw(8)
			padel.gifts[voucher] = gift{id, one.hour, time.Now().Add(giftFor)}
			say(here, fmt.Sprintf("Dá este vale a quem quiseres: %s. Serve uma vez, durante 5 minutos; até lá a reserva é tua.", voucher))
		}
	case "aceitar":
		g, ok := padel.gifts[code]
		one := padel.hours[g.hour]
		switch {
		case !ok || one == nil || one.by != g.from || time.Now().After(g.until):
			say(here, "Esse vale não existe ou já não serve.")
		case g.from == id:
			say(here, "O vale é teu; dá-o a alguém.")
		case len(padel.of(id)) >= maxMine:
			say(here, "Já tens reservas que cheguem.")
		default:
			delete(padel.gifts, code)
			one.by, one.code = id, draw(5)
			padel.leave(g.hour, id)
			say(here, fmt.Sprintf("A reserva das %dh agora é tua.", g.hour))
			say(g.from, fmt.Sprintf("%s aceitou a tua reserva das %dh.", padel.name(id), g.hour))
		}
	case "fechar":
		padel.blocked[hour] = true
		if there := padel.hours[hour]; there != nil {
			say(there.by, fmt.Sprintf("O clube fecha às %dh: a tua reserva caiu.", hour))
			padel.free(hour, 0)
		}
		say(here, fmt.Sprintf("Fechado às %dh.", hour))
	case "abrir":
		delete(padel.blocked, hour)
		if padel.hours[hour] == nil {
			padel.free(hour, 0)
		}
		say(here, fmt.Sprintf("Aberto às %dh.", hour))
	case "agenda":
		lines := []string{"Agenda:"}
		for one := firstHour; one <= lastHour; one++ {
			if there := padel.hours[one]; there != nil {
				lines = append(lines, fmt.Sprintf("%dh %s, %s", one, padel.name(there.by), padel.state(one)))
			}
		}
		say(here, strings.Join(lines, "\n"))
	default:
		if private {
			say(here, "Não conheço esse comando. Vê /ajuda")
		}
	}
}

func onQuery(q *query) {
	match := pressing.FindStringSubmatch(q.Data)
	if match == nil {
		toast(q, "Esse botão já não serve.", false)
		return
	}
	padel.Lock()
	defer padel.Unlock()
	padel.meet(q.From)
	if match[1] == "sim" {
		said := padel.confirm(q.From.ID, match[2])
		toast(q, said, !strings.HasPrefix(said, "Confirmado"))
		if strings.HasPrefix(said, "Confirmado") {
			say(q.From.ID, said)
		}
		return
	}
	one := padel.byCode(match[2])
	switch {
	case one == nil:
		toast(q, "Isso já expirou.", false)
	case one.by != q.From.ID:
		toast(q, "Essa reserva é de outra pessoa.", true)
	case one.confirmed:
		toast(q, "Já está confirmada; usa /cancelar.", true)
	default:
		padel.free(one.hour, one.by)
		toast(q, "Está bem, fica livre.", false)
	}
}

// ---------------------------------------------------------------- the webhook

type seenIDs struct {
	sync.Mutex
	ids  map[int64]struct{}
	ring []int64
	next int
}

func (s *seenIDs) has(id int64) bool {
	s.Lock()
	defer s.Unlock()
	_, there := s.ids[id]
	return there
}

// add says whether the id is new.
func (s *seenIDs) add(id int64) bool {
	s.Lock()
	defer s.Unlock()
	if _, there := s.ids[id]; there {
		return false
	}
	if len(s.ring) < maxSeen {
		s.ring = append(s.ring, id)
	} else {
		delete(s.ids, s.ring[s.next])
		s.ring[s.next] = id
		s.next = (s.next + 1) % maxSeen
	}
	s.ids[id] = struct{}{}
	return true
}

var seen = &seenIDs{ids: map[int64]struct{}{}}

// wanted says where an update belongs, and whether it is for us at all; not ok is what Telegram never sends.
func wanted(u *update) (id int64, ours, ok bool) {
	switch {
	case u.Message != nil:
		m := u.Message
		if m.Chat.ID == 0 || (m.From != nil && m.From.ID == 0) {
			return 0, false, false
		}
		if m.MigrateTo != 0 {
			remember(m.Chat.ID, m.MigrateTo)
			return m.Chat.ID, false, true
		}
		return m.Chat.ID, m.From != nil && !m.From.IsBot && len(m.SenderChat) == 0, true
	case u.Query != nil:
		if u.Query.From == nil || u.Query.From.ID == 0 || u.Query.ID == "" {
			return 0, false, false
		}
		return u.Query.From.ID, !u.Query.From.IsBot, true
	}
	return 0, false, true
}

func webhook(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	given, expected := sha256.Sum256([]byte(r.Header.Get("X-Telegram-Bot-Api-Secret-Token"))), sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(given[:], expected[:]) != 1 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		} else {
			w.WriteHeader(http.StatusBadRequest)
		}
		return
	}
	var u update
	if json.Unmarshal(body, &u) != nil || u.ID == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id, ours, ok := wanted(&u)
	switch {
	case !ok:
		w.WriteHeader(http.StatusBadRequest)
		return
	case !ours || seen.has(*u.ID):
		w.WriteHeader(http.StatusOK)
		return
	case inbox.full(key(id)) || outbox.full(key(id)):
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if seen.add(*u.ID) {
		inbox.put(key(id), func() {
			defer func() {
				if problem := recover(); problem != nil {
					log.Printf("update: %v", problem)
					say(id, "Algo correu mal. Tenta outra vez.")
				}
			}()
			if u.Message != nil {
				onMessage(u.Message)
			} else {
				onQuery(u.Query)
			}
		})
	}
	w.WriteHeader(http.StatusOK)
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc(env("WEBHOOK_PATH", "/webhook"), webhook)
	server := &http.Server{
		Addr: "127.0.0.1:" + env("PORT", "8080"), Handler: mux,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute,
	}
	ticker := time.NewTicker(time.Second)
	go func() {
		for range ticker.C {
			padel.expire()
		}
	}()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		patience, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		_ = server.Shutdown(patience)
		done := make(chan struct{})
		go func() { inbox.wait.Wait(); outbox.wait.Wait(); close(done) }()
		select {
		case <-done:
		case <-patience.Done():
		}
		os.Exit(0)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	select {}
}
