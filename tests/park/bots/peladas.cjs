/**
 * Peladas: organiza peladas (lista, espera, times, taxa) em português do Brasil.
 * Telegraf 4 atrás do Express: a entrega é confirmada logo e atendida na fila do seu chat; tudo fica na memória.
 */
'use strict';

const crypto = require('node:crypto');
const express = require('express');
const { Telegraf, Telegram, Markup } = require('telegraf');
const { message } = require('telegraf/filters');

const PORTA = Number(process.env.PORT || 8080);
const CAMINHO = process.env.WEBHOOK_PATH || '/webhook';
const SEGREDO = process.env.SECRET || '';
const API = process.env.BOT_API || 'https://api.telegram.org';
const ADMIN = Number(process.env.ADMIN_ID || 0);
const BUG = process.env.BUG || '';

const PRAZO_MS = 8000;
const TENTATIVAS = 8;
const MAX_VISTOS = 20000;
const MAX_PENDENTES = 100; // por chat
const MAX_FILAS = 5000;
const MAX_CONVERSAS = 5000;
const MAX_JOGOS = 500;
const MAX_JOGOS_POR_DONO = 10;
const MAX_NOMES = 80; // por jogo, com a espera
const MAX_CONHECIDOS = 5000;
const COMANDOS_DO_ADMIN = new Set(['/resumo', '/aviso']);

const AJUDA = `Eu organizo a sua pelada. Comandos:
/nova - marcar uma pelada, passo a passo
/cancelar - desistir da pelada que você está marcando
/jogos - peladas marcadas
/lista N - quem vai na pelada N
/vou N - entrar na lista
/saio N - sair da lista
/paguei N - avisar que pagou a taxa
/times N T - sortear T times (organizador)
/taxas N - quem pagou (organizador)
/passar N ID - passar a organização para outro jogador
/desmarcar N - desmarcar a pelada (organizador)
/resumo - números do bot (administrador)
/aviso TEXTO - recado para todos (administrador)`;

const dormir = (ms) => new Promise((pronto) => setTimeout(pronto, ms));

/** Um Map que esquece o que entrou primeiro. */
class Limitado extends Map {
  constructor(limite) {
    super();
    this.limite = limite;
  }

  set(chave, valor) {
    this.delete(chave);
    super.set(chave, valor);
    if (this.size > this.limite) this.delete(this.keys().next().value);
    return this;
  }
}

const jogos = new Map();
const conversas = new Limitado(MAX_CONVERSAS);
const conhecidos = new Limitado(MAX_CONHECIDOS); // quem falou comigo em particular
const migrados = new Limitado(1000);
let ultimoJogo = 0;

// ---------------------------------------------------------------- chamadas

let pausadoAte = 0;
const chamar = Telegram.prototype.callApi;

/** Toda chamada tem prazo, respeita retry_after, insiste com calma e segue grupos que migraram. */
Telegram.prototype.callApi = async function callApi(metodo, dados) {
  const corpo = { ...dados };
  if (migrados.has(corpo.chat_id)) corpo.chat_id = migrados.get(corpo.chat_id);
  for (let tentativa = 1; ; tentativa += 1) {
    if (BUG === 'pausa-geral') await dormir(Math.max(0, pausadoAte - Date.now()));
    try {
      return await chamar.call(this, metodo, corpo, { signal: AbortSignal.timeout(PRAZO_MS) });
    } catch (erro) {
      const codigo = erro.response?.error_code ?? 0;
      const { retry_after: espera, migrate_to_chat_id: novo } = erro.response?.parameters ?? {};
      if (tentativa >= TENTATIVAS) throw erro;
      if (Number.isSafeInteger(novo) && novo !== corpo.chat_id) {
        migrar(corpo.chat_id, novo);
        corpo.chat_id = novo;
      } else if (codigo === 429) {
        const segundos = Number(espera) > 0 ? Number(espera) : 1;
        if (segundos > 300) throw erro;
        if (BUG === 'pausa-geral') pausadoAte = Date.now() + segundos * 1000;
        await dormir(segundos * 1000 + 50);
      } else if (codigo === 0 || codigo >= 500) {
        await dormir(Math.min(15000, 500 * 2 ** (tentativa - 1)));
      } else {
        throw erro;
      }
    }
  }
};

function migrar(antigo, novo) {
  migrados.set(antigo, novo);
  for (const jogo of jogos.values()) if (jogo.chat === antigo) jogo.chat = novo;
}

// ---------------------------------------------------------------- filas

const filas = new Map(); // chat -> { fim, pendentes }

function cheia(chat) {
  const fila = filas.get(chat);
  return fila ? fila.pendentes >= MAX_PENDENTES : filas.size >= MAX_FILAS;
}

/** Uma tarefa depois da outra em cada chat; os chats não esperam uns pelos outros. */
function enfileirar(chat, tarefa) {
  const fila = filas.get(chat) ?? { fim: Promise.resolve(), pendentes: 0 };
  filas.set(chat, fila);
  fila.pendentes += 1;
  const feito = () => {
    fila.pendentes -= 1;
    if (fila.pendentes === 0) filas.delete(chat);
  };
  if (BUG === 'fila-envenenada') {
    fila.fim = fila.fim.then(tarefa).then(feito);
    fila.fim.catch((erro) => registrar(chat, erro));
  } else {
    fila.fim = fila.fim
      .then(tarefa)
      .catch((erro) => registrar(chat, erro))
      .then(feito);
  }
}

function registrar(chat, erro) {
  console.error(`chat ${chat}: ${erro.message}`);
  if (!erro.response && erro.type !== 'aborted' && !erro.code) {
    avisar(chat, 'Desculpe, algo deu errado. Tente de novo.');
  }
}

/** Manda uma mensagem na fila do destinatário, sem segurar a fila de ninguém mais. */
function avisar(chat, texto, extra) {
  if (cheia(chat)) {
    console.error(`chat ${chat}: fila cheia, aviso perdido`);
    return;
  }
  enfileirar(chat, () => bot.telegram.sendMessage(chat, cortar(texto), extra));
}

// ---------------------------------------------------------------- textos

function limpar(texto, limite) {
  const limpo = String(texto ?? '')
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\uFFFD]+/gu, ' ')
    .trim();
  return [...limpo].slice(0, limite).join('');
}

const cortar = (texto) => (texto.length > 4000 ? `${texto.slice(0, 3990).toWellFormed()}...` : texto);
const nomeDe = (pessoa) => limpar(pessoa.first_name, 30) || `Jogador ${pessoa.id}`;
const reais = (centavos) => (centavos ? `R$ ${(centavos / 100).toFixed(2).replace('.', ',')}` : 'de graça');
const acharJogo = (texto) => (/^\d{1,9}$/.test(texto ?? '') ? jogos.get(Number(texto)) : undefined);

function cartao(jogo) {
  const vagas = `${Math.min(jogo.lista.length, jogo.vagas)}/${jogo.vagas}`;
  const espera = Math.max(0, jogo.lista.length - jogo.vagas);
  return `Pelada ${jogo.id}: ${jogo.local}, ${jogo.quando}, ${reais(jogo.valor)}, lista ${vagas}, espera ${espera}`;
}

function listaDe(jogo) {
  const linhas = jogo.lista.map((um, i) => `${i < jogo.vagas ? i + 1 : 'espera'}. ${um.nome}`);
  return [cartao(jogo), `Organiza: ${jogo.nomeDoDono}`, ...linhas].join('\n');
}

const botoes = (jogo) =>
  Markup.inlineKeyboard([
    Markup.button.callback('Vou', `vou:${jogo.id}`),
    Markup.button.callback('Saio', `saio:${jogo.id}`),
    Markup.button.callback('Lista', `lista:${jogo.id}`),
  ]);

// ---------------------------------------------------------------- o bot

const bot = new Telegraf(process.env.BOT_TOKEN || '', {
  handlerTimeout: Infinity,
  telegram: { apiRoot: API, webhookReply: false },
});
bot.botInfo = { id: 1, is_bot: true, first_name: 'Peladas', username: 'peladas_bot' };
bot.catch((erro) => {
  throw erro;
});

let atual; // a conversa que está sendo atendida

function responder(ctx, texto, extra) {
  const onde = BUG === 'ctx-global' ? atual : ctx;
  return bot.telegram.sendMessage(onde.chat?.id ?? onde.from.id, cortar(texto), extra);
}

/** "Digitando ..." enquanto se prepara uma resposta; não faz falta se não der. */
function digitando(ctx) {
  return bot.telegram.sendChatAction(ctx.chat?.id ?? ctx.from.id, 'typing').catch(() => undefined);
}

const ehAdmin = (ctx) => ctx.from.id === ADMIN;
const chaveDe = (ctx) => `${ctx.chat?.id ?? ctx.from.id}:${ctx.from.id}`;

bot.use((ctx, seguir) => {
  atual = ctx;
  if (ctx.chat?.type === 'private') conhecidos.set(ctx.from.id, true);
  return seguir();
});

bot.on(message('migrate_to_chat_id'), (ctx) => {
  const novo = ctx.message.migrate_to_chat_id;
  if (Number.isSafeInteger(novo)) migrar(ctx.chat.id, novo);
});

bot.use((ctx, seguir) => {
  const texto = ctx.message?.text ?? '';
  if (ctx.message?.sender_chat) {
    return texto.startsWith('/') ? responder(ctx, 'Não sei quem você é: escreva com o seu próprio perfil.') : undefined;
  }
  let [comando] = texto.split(/\s/, 1);
  if (BUG !== 'guarda-literal') comando = comando.toLowerCase().replace(/@.*$/, '');
  if (COMANDOS_DO_ADMIN.has(comando) && !ehAdmin(ctx)) return responder(ctx, 'Isso é só para o administrador.');
  return seguir();
});

/** Um comando, com ou sem @nome do bot, em maiúsculas ou minúsculas. */
function comando(nome, atender) {
  bot.hears(new RegExp(`^/${nome}(?:@\\w+)?(?:\\s+([\\s\\S]*))?$`, 'i'), (ctx) => atender(ctx, (ctx.match[1] ?? '').trim()));
}

comando('(?:start|ajuda|help)', (ctx) => responder(ctx, AJUDA));

comando('nova', async (ctx, resto) => {
  conversas.set(chaveDe(ctx), { passo: 'local', dados: {} });
  if (resto) return passo(ctx, conversas.get(chaveDe(ctx)), resto);
  return responder(ctx, 'Onde vai ser a pelada?');
});

comando('cancelar', (ctx) =>
  responder(ctx, conversas.delete(chaveDe(ctx)) ? 'Pronto, deixei pra lá.' : 'Você não está marcando nada.'),
);

comando('jogos', async (ctx) => {
  await digitando(ctx);
  const aqui = [...jogos.values()].filter((jogo) => ctx.chat?.type === 'private' || jogo.chat === ctx.chat?.id);
  return responder(ctx, aqui.slice(-20).map(cartao).join('\n') || 'Nenhuma pelada marcada. Marque uma com /nova.');
});

comando('lista', async (ctx, resto) => {
  const jogo = acharJogo(resto);
  if (!jogo) return responder(ctx, 'Use: /lista N');
  await digitando(ctx);
  return responder(ctx, listaDe(jogo), botoes(jogo));
});

comando('vou', async (ctx, resto) => {
  const jogo = acharJogo(resto);
  return responder(ctx, jogo ? await entrar(ctx, jogo) : 'Use: /vou N');
});

comando('saio', (ctx, resto) => {
  const jogo = acharJogo(resto);
  return responder(ctx, jogo ? sair(ctx, jogo) : 'Use: /saio N');
});

comando('paguei', (ctx, resto) => {
  const jogo = acharJogo(resto);
  if (!jogo) return responder(ctx, 'Use: /paguei N');
  const eu = jogo.lista.find((um) => um.id === ctx.from.id);
  if (!eu) return responder(ctx, 'Você não está nessa lista.');
  if (eu.pago) return responder(ctx, 'A sua taxa já está confirmada.');
  if (!jogo.valor) return responder(ctx, 'Essa pelada é de graça.');
  avisar(
    jogo.dono,
    `${eu.nome} diz que pagou ${reais(jogo.valor)} da pelada ${jogo.id}.`,
    Markup.inlineKeyboard([Markup.button.callback('Confirmar pagamento', `pago:${jogo.id}:${eu.id}`)]),
  );
  return responder(ctx, 'Avisei o organizador, falta ele confirmar.');
});

comando('times', async (ctx, resto) => {
  const [qual, quantos = '2'] = resto.split(/\s+/);
  const jogo = acharJogo(qual);
  if (!jogo || !/^[2-6]$/.test(quantos)) return responder(ctx, 'Use: /times N T, com T de 2 a 6');
  if (jogo.dono !== ctx.from.id) return responder(ctx, 'Só o organizador sorteia os times.');
  await digitando(ctx);
  const nomes = jogo.lista.slice(0, jogo.vagas).map((um) => um.nome);
  for (let i = nomes.length - 1; i > 0; i -= 1) {
    const j = crypto.randomInt(i + 1);
    [nomes[i], nomes[j]] = [nomes[j], nomes[i]];
  }
  const times = Array.from({ length: Number(quantos) }, () => []);
  nomes.forEach((nome, i) => times[i % times.length].push(nome));
  return responder(ctx, times.map((time, i) => `Time ${i + 1}: ${time.join(', ') || 'ninguém'}`).join('\n'));
});

comando('taxas', async (ctx, resto) => {
  const jogo = acharJogo(resto);
  if (!jogo) return responder(ctx, 'Use: /taxas N');
  if (jogo.dono !== ctx.from.id) return responder(ctx, 'Só o organizador vê as taxas.');
  await digitando(ctx);
  const linhas = jogo.lista.map((um) => `${um.nome}: ${um.pago ? 'pagou' : 'deve'}`);
  return responder(ctx, [`Taxas da pelada ${jogo.id}, ${reais(jogo.valor)}:`, ...linhas].join('\n'));
});

comando('passar', (ctx, resto) => {
  const [qual, quem] = resto.split(/\s+/);
  const jogo = acharJogo(qual);
  if (!jogo || !/^\d{1,15}$/.test(quem ?? '')) return responder(ctx, 'Use: /passar N ID');
  if (jogo.dono !== ctx.from.id) return responder(ctx, 'Só o organizador passa a pelada.');
  if (!jogo.lista.some((um) => um.id === Number(quem))) return responder(ctx, 'Essa pessoa não está na lista.');
  jogo.passandoPara = Number(quem);
  avisar(
    jogo.passandoPara,
    `${jogo.nomeDoDono} quer passar para você: ${cartao(jogo)}`,
    Markup.inlineKeyboard([Markup.button.callback('Aceitar', `aceito:${jogo.id}`)]),
  );
  return responder(ctx, 'Convite enviado, falta aceitar.');
});

comando('desmarcar', (ctx, resto) => {
  const jogo = acharJogo(resto);
  if (!jogo) return responder(ctx, 'Use: /desmarcar N');
  if (jogo.dono !== ctx.from.id && !ehAdmin(ctx)) return responder(ctx, 'Só o organizador desmarca a pelada.');
  return responder(
    ctx,
    `Desmarcar mesmo? ${cartao(jogo)}`,
    Markup.inlineKeyboard([Markup.button.callback('Desmarcar', `desmarca:${jogo.id}`)]),
  );
});

comando('resumo', (ctx) => {
  const nomes = [...jogos.values()].reduce((soma, jogo) => soma + jogo.lista.length, 0);
  return responder(ctx, `Resumo: ${jogos.size} peladas, ${nomes} inscrições, ${conhecidos.size} pessoas conhecidas.`);
});

comando('aviso', (ctx, resto) => {
  const texto = limpar(resto, 500);
  if (!texto) return responder(ctx, 'Use: /aviso TEXTO');
  for (const quem of conhecidos.keys()) if (quem !== ctx.from.id) avisar(quem, `Aviso: ${texto}`);
  return responder(ctx, `Aviso enviado para ${conhecidos.size - (conhecidos.has(ctx.from.id) ? 1 : 0)} pessoas.`);
});

// ---------------------------------------------------------------- lista de presença

async function entrar(ctx, jogo) {
  let { lista } = jogo;
  if (BUG === 'lista-perdida') {
    lista = [...jogo.lista];
    await digitando(ctx);
  }
  if (!jogos.has(jogo.id)) return 'Essa pelada foi desmarcada.';
  if (lista.some((um) => um.id === ctx.from.id)) return `Você já está na lista da pelada ${jogo.id}.`;
  if (lista.length >= MAX_NOMES) return 'A lista e a espera estão cheias.';
  const eu = { id: ctx.from.id, nome: nomeDe(ctx.from), pago: false };
  jogo.lista = [...lista, eu];
  const lugar = jogo.lista.length;
  if (jogo.dono !== eu.id) avisar(jogo.dono, `${eu.nome} entrou na pelada ${jogo.id} (${lugar}).`);
  if (lugar > jogo.vagas) return `${eu.nome}, você é o ${lugar - jogo.vagas}º da espera da pelada ${jogo.id}.`;
  return `${eu.nome}, você está na pelada ${jogo.id}: ${lugar}/${jogo.vagas}.`;
}

function sair(ctx, jogo) {
  const onde = jogo.lista.findIndex((um) => um.id === ctx.from.id);
  if (onde < 0) return `Você não está na lista da pelada ${jogo.id}.`;
  const promovido = onde < jogo.vagas ? jogo.lista[jogo.vagas] : undefined;
  jogo.lista = jogo.lista.filter((um) => um.id !== ctx.from.id);
  if (promovido) avisar(promovido.id, `Abriu vaga: você está na pelada ${jogo.id}, ${jogo.local}, ${jogo.quando}.`);
  return `Você saiu da pelada ${jogo.id}.`;
}

// ---------------------------------------------------------------- botões

/** Um botão: a resposta vai no próprio botão e na conversa. */
function botao(padrao, atender) {
  bot.action(padrao, async (ctx) => {
    const [texto, extra] = [await atender(ctx, acharJogo(ctx.match[1]), ctx.match[2])].flat();
    if (BUG === 'cb-sem-await') ctx.answerCbQuery(texto.slice(0, 190).toWellFormed());
    else await ctx.answerCbQuery(texto.slice(0, 190).toWellFormed()).catch((erro) => console.error(erro.message));
    await responder(ctx, texto, extra);
  });
}

const NAO_HA = 'Essa pelada não existe mais.';

botao(/^vou:(\d{1,9})$/, (ctx, jogo) => (jogo ? entrar(ctx, jogo) : NAO_HA));
botao(/^saio:(\d{1,9})$/, (ctx, jogo) => (jogo ? sair(ctx, jogo) : NAO_HA));
botao(/^lista:(\d{1,9})$/, (ctx, jogo) => (jogo ? [listaDe(jogo), botoes(jogo)] : NAO_HA));

botao(/^pago:(\d{1,9}):(\d{1,15})$/, (ctx, jogo, quem) => {
  const um = jogo?.lista.find((outro) => outro.id === Number(quem));
  if (!um) return 'Essa inscrição não existe mais.';
  if (BUG !== 'pago-sem-dono' && jogo.dono !== ctx.from.id) return 'Só o organizador confirma pagamentos.';
  if (um.pago) return 'Esse pagamento já estava confirmado.';
  um.pago = true;
  if (um.id !== ctx.from.id) avisar(um.id, `O seu pagamento da pelada ${jogo.id} foi confirmado.`);
  return `Pagamento de ${um.nome} confirmado na pelada ${jogo.id}.`;
});

botao(/^aceito:(\d{1,9})$/, (ctx, jogo) => {
  if (!jogo) return NAO_HA;
  if (jogo.passandoPara !== ctx.from.id) return 'Esse convite não é para você.';
  const antigo = jogo.dono;
  Object.assign(jogo, { dono: ctx.from.id, nomeDoDono: nomeDe(ctx.from), passandoPara: undefined });
  avisar(antigo, `${jogo.nomeDoDono} agora organiza a pelada ${jogo.id}.`);
  return `Agora você organiza a pelada ${jogo.id}.`;
});

botao(/^desmarca:(\d{1,9})$/, (ctx, jogo) => {
  if (!jogo) return NAO_HA;
  if (jogo.dono !== ctx.from.id && !ehAdmin(ctx)) return 'Só o organizador desmarca a pelada.';
  jogos.delete(jogo.id);
  const aqui = ctx.chat?.id ?? ctx.from.id;
  const todos = new Set([jogo.chat, ...jogo.lista.map((um) => um.id)]);
  for (const quem of todos) if (quem !== aqui && quem !== ctx.from.id) avisar(quem, `A pelada ${jogo.id} foi desmarcada.`);
  return `Pelada ${jogo.id} desmarcada.`;
});

botao(/^criar$/, (ctx) => {
  const conversa = conversas.get(chaveDe(ctx));
  if (conversa?.passo !== 'confirmar') return 'Não há o que confirmar: comece com /nova.';
  conversas.delete(chaveDe(ctx));
  const meus = [...jogos.values()].filter((jogo) => jogo.dono === ctx.from.id);
  if (meus.length >= MAX_JOGOS_POR_DONO) return 'Você já tem peladas demais marcadas: desmarque uma.';
  if (jogos.size >= MAX_JOGOS) jogos.delete(jogos.keys().next().value);
  ultimoJogo += 1;
  const jogo = { id: ultimoJogo, ...conversa.dados, lista: [], dono: ctx.from.id, nomeDoDono: nomeDe(ctx.from) };
  jogo.chat = ctx.chat?.id ?? ctx.from.id;
  jogos.set(jogo.id, jogo);
  return [`Marcada! ${cartao(jogo)}`, botoes(jogo)];
});

botao(/^descartar$/, (ctx) => (conversas.delete(chaveDe(ctx)) ? 'Descartada.' : 'Não há o que descartar.'));

bot.on('callback_query', (ctx) => ctx.answerCbQuery('Não conheço esse botão.'));

// ---------------------------------------------------------------- marcar passo a passo

const PASSOS = {
  local(conversa, texto) {
    const local = limpar(texto, 60);
    if (!local) return 'Onde vai ser? Escreva o nome do lugar.';
    conversa.dados.local = local;
    conversa.passo = 'quando';
    return 'Quando? Assim: 25/12 20:00';
  },
  quando(conversa, texto) {
    const data = /^(\d{1,2})\/(\d{1,2})\s+(\d{1,2})[:h](\d{2})$/.exec(texto.trim());
    const [, dia, mes, hora, minuto] = (data ?? []).map(Number);
    if (!data || dia < 1 || dia > 31 || mes < 1 || mes > 12 || hora > 23 || minuto > 59) {
      return 'Não entendi a data. Assim: 25/12 20:00';
    }
    conversa.dados.quando = texto.trim();
    conversa.passo = 'vagas';
    return 'Quantas vagas? De 2 a 40.';
  },
  vagas(conversa, texto) {
    const vagas = /^\d{1,2}$/.test(texto.trim()) ? Number(texto) : 0;
    if (vagas < 2 || vagas > 40) return 'Um número de 2 a 40, por favor.';
    conversa.dados.vagas = vagas;
    conversa.passo = 'valor';
    return 'Quanto cada um paga? Por exemplo 15,00, ou 0.';
  },
  valor(conversa, texto) {
    if (!/^\d{1,4}([.,]\d{1,2})?$/.test(texto.trim())) return 'Um valor como 15,00, ou 0.';
    conversa.dados.valor = Math.round(Number(texto.trim().replace(',', '.')) * 100);
    conversa.passo = 'confirmar';
    const { local, quando, vagas, valor } = conversa.dados;
    return `Confere? ${local}, ${quando}, ${vagas} vagas, ${reais(valor)}`;
  },
  confirmar() {
    return 'Use os botões: Criar ou Descartar.';
  },
};

function passo(ctx, conversa, texto) {
  const resposta = PASSOS[conversa.passo](conversa, texto);
  const botoesDoPasso = Markup.inlineKeyboard([
    Markup.button.callback('Criar', 'criar'),
    Markup.button.callback('Descartar', 'descartar'),
  ]);
  return responder(ctx, resposta, conversa.passo === 'confirmar' ? botoesDoPasso : undefined);
}

bot.on('message', (ctx) => {
  const texto = ctx.message.text;
  const conversa = conversas.get(chaveDe(ctx));
  if (texto?.startsWith('/')) return responder(ctx, 'Não conheço esse comando. Veja /ajuda.');
  if (conversa) return texto === undefined ? responder(ctx, 'Responda com texto, por favor.') : passo(ctx, conversa, texto);
  if (ctx.chat.type === 'private') return responder(ctx, 'Não entendi. Veja /ajuda.');
  return undefined;
});

// ---------------------------------------------------------------- o webhook

const vistos = new Limitado(MAX_VISTOS);
const ehObjeto = (algo) => typeof algo === 'object' && algo !== null && !Array.isArray(algo);
const ehPessoa = (algo) => ehObjeto(algo) && Number.isSafeInteger(algo.id);

/** O chat em cuja fila a atualização entra; undefined quando não há o que fazer. */
function filaDe({ message: mensagem, callback_query: toque }) {
  if (ehObjeto(toque)) {
    if (!ehPessoa(toque.from) || typeof toque.data !== 'string' || typeof toque.id !== 'string') return undefined;
    if (toque.message === undefined) return toque.from.id;
    return ehObjeto(toque.message) && ehPessoa(toque.message.chat) ? toque.message.chat.id : undefined;
  }
  if (!ehObjeto(mensagem) || !ehPessoa(mensagem.chat) || !ehPessoa(mensagem.from)) return undefined;
  if (mensagem.text !== undefined && typeof mensagem.text !== 'string') return undefined;
  return mensagem.chat.id;
}

/** Quem fala é sempre o remetente: guarda-se o nome com que apareceu por último. */
function remetente(update) {
  const [conteudo] = Object.values(update).filter(ehObjeto);
  return conteudo.from.id;
}

function confiavel(req) {
  const dado = req.get('X-Telegram-Bot-Api-Secret-Token') ?? '';
  if (BUG === 'segredo-parte') return dado !== '' && SEGREDO.includes(dado); // um ou vários, separados por vírgula
  const resumo = (texto) => crypto.createHash('sha256').update(texto).digest();
  return SEGREDO.split(',').some((um) => um !== '' && crypto.timingSafeEqual(resumo(um), resumo(dado)));
}

const app = express();
app.disable('x-powered-by');
app.post(
  CAMINHO,
  (req, res, seguir) => (confiavel(req) ? seguir() : res.set('Connection', 'close').sendStatus(401)),
  express.raw({ type: () => true, limit: '1mb' }),
  (req, res) => {
    let update;
    try {
      update = JSON.parse(req.body.toString());
    } catch {
      return res.sendStatus(400);
    }
    if (!ehObjeto(update) || !Number.isSafeInteger(update.update_id)) return res.sendStatus(400);
    if (BUG === 'sem-remetente') conhecidos.set(remetente(update), true);
    const chat = filaDe(update);
    if (chat === undefined) return res.sendStatus(200);
    if (cheia(chat)) return res.set('Retry-After', '5').sendStatus(429);
    if (BUG !== 'sem-dedupe') {
      if (vistos.has(update.update_id)) return res.sendStatus(200);
      vistos.set(update.update_id, true);
    }
    enfileirar(chat, () => bot.handleUpdate(update));
    return res.sendStatus(200);
  },
);
app.use((erro, req, res, _seguir) => {
  const codigo = erro.status >= 400 && erro.status < 500 ? erro.status : 500;
  if (codigo === 500) console.error(erro);
  if (!res.headersSent) res.sendStatus(codigo);
});

const servidor = app.listen(PORTA, '127.0.0.1');
servidor.headersTimeout = 10000;
servidor.requestTimeout = 15000;
