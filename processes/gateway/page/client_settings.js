// What is typed or pasted into other programs, so that they speak through this appliance.
//
// Owns: the settings of each program, in its own names.
// Refuses to know: elements; whether the program gets on with the appliance (client_checks.js).
//
// `it` holds what they are made of: address (https://host:port), host, port, voice, language, sentence, key, and in
// `voices` the ids of those that speak the language. A setting with several lines is a block for a file. `label` is the program's own word for a field.

const ANY_KEY = "any"; // where the appliance asks for none, programs want one all the same
const MARY_LOCALES = ["de", "en_GB", "en_US", "fr", "it", "lb", "ru", "sv", "te", "tr"]; // that the integration takes; codespell:ignore te
const WYOMING_PORT = "10200"; // wyoming.port as shipped
const MOST_VOICES = 20; // in a list that is pasted

/** A text in YAML, whatever is in it. */
function quoted(text) {
  return JSON.stringify(text);
}

/** A few voices, the chosen one first. */
function someVoices({ voice, voices }) {
  return [...new Set([voice, ...voices])].slice(0, MOST_VOICES);
}

/** The voice's language as MaryTTS has it, where Home Assistant knows it; the voice counts in any case. */
function maryLocale({ language }) {
  const [first, region] = language.split("-");
  const names = [`${first}_${(region ?? "").toUpperCase()}`, first];
  return names.find((name) => MARY_LOCALES.includes(name)) ?? "en_US";
}

function openWebUi(it) {
  const key = it.key || ANY_KEY;
  return [
    { label: "Text-to-Speech Engine", value: "OpenAI" },
    { label: "API Base URL", value: `${it.address}/v1` },
    { label: "API Key", value: key, is_secret: key !== ANY_KEY },
    { label: "TTS Voice", value: it.voice },
    { label: "TTS Model", value: "tts-1" },
    {
      label: ".env",
      value: [
        "AUDIO_TTS_ENGINE=openai",
        `AUDIO_TTS_OPENAI_API_BASE_URL=${it.address}/v1`,
        `AUDIO_TTS_OPENAI_API_KEY=${key}`,
        "AUDIO_TTS_MODEL=tts-1",
        `AUDIO_TTS_VOICE=${it.voice}`,
      ].join("\n"),
      is_secret: key !== ANY_KEY,
    },
  ];
}

function homeAssistant(it) {
  const query = new URLSearchParams({ text: it.sentence, voice: it.voice });
  return [
    { label: "Wyoming Protocol · Host", value: it.host },
    { label: "Wyoming Protocol · Port", value: WYOMING_PORT },
    {
      label: "configuration.yaml",
      value: [
        "tts:",
        "  - platform: marytts",
        `    host: ${quoted(it.host)}`,
        `    port: ${it.port}`,
        "    codec: WAVE_FILE",
        `    voice: ${quoted(it.voice)}`,
        `    language: ${maryLocale(it)}`,
      ].join("\n"),
    },
    {
      label: "media_player.play_media",
      value: [
        "action: media_player.play_media",
        "target:",
        "  entity_id: media_player.kitchen",
        "data:",
        "  media_content_type: music",
        `  media_content_id: ${quoted(`${it.address}/v1/audio/speech?${query}`)}`,
      ].join("\n"),
    },
  ];
}

function sillyTavern(it) {
  const key = it.key || ANY_KEY;
  return [
    { label: "TTS Provider", value: "OpenAI Compatible" },
    { label: "Provider Endpoint", value: `${it.address}/v1/audio/speech` },
    { label: "API Key", value: key, is_secret: key !== ANY_KEY },
    { label: "Model", value: "tts-1" },
    { label: "Available Voices", value: someVoices(it).join(", ") },
    { label: "XTTSv2 · Provider Endpoint", value: it.address },
  ];
}

function libreChat(it) {
  const key = it.key || ANY_KEY;
  return [
    {
      label: "librechat.yaml",
      value: [
        "speech:",
        "  tts:",
        "    openai:",
        `      url: ${quoted(`${it.address}/v1/audio/speech`)}`,
        `      apiKey: ${quoted(key)}`,
        '      model: "tts-1"',
        `      voices: [${someVoices(it).map(quoted).join(", ")}]`,
      ].join("\n"),
      is_secret: key !== ANY_KEY,
    },
  ];
}

/** The programs, by the name that their texts and checks go by. */
export const CLIENTS = [
  { id: "open_webui", name: "Open WebUI", settings: openWebUi },
  { id: "home_assistant", name: "Home Assistant", settings: homeAssistant },
  { id: "sillytavern", name: "SillyTavern", settings: sillyTavern },
  { id: "librechat", name: "LibreChat", settings: libreChat },
];
